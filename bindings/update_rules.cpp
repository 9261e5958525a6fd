#include <cmath>
#include <optional>

#include "arguments.h"
#include "bindings.h"
#include "constructors.h"
#include "core/backend.h"
#include "value_class.h"

namespace tagix::python {
namespace {

/// The rules as Python classes of their own.
struct Information : UpdateRule {
  Information(double share, double clip)
      : UpdateRule{UpdateRule::Kind::information, share, clip, /*cap=*/0} {
    require(std::isfinite(share) && share >= 0, "share: got ", share,
            ", needed a finite number of at least 0");
    require(clip > 0, "clip: got ", clip, ", needed a number above 0");
  }
};

struct Capped : UpdateRule {
  explicit Capped(std::optional<double> cap)
      : UpdateRule{UpdateRule::Kind::capped, /*share=*/0, /*clip=*/0, cap.value_or(0)} {
    require(!cap || (std::isfinite(*cap) && *cap > 0), "cap: got ", cap.value_or(0),
            ", needed a finite number above 0, or None");
  }
};

py::dict rule_config(const UpdateRule& rule) {
  py::dict dict;
  if (rule.kind == UpdateRule::Kind::information) {
    dict["share"] = rule.share;
    dict["clip"] = rule.clip;
  } else {
    dict["cap"] = rule.cap > 0 ? py::object(py::float_(rule.cap)) : py::none();
  }
  return dict;
}

void bind_information(py::module_& m) {
  py::class_<Information, UpdateRule> information_class(
      m, "Information",
      R"(The information form of the update, the default: stable at any batch size.

With G and H >= 0 the summed innovations of mean and precision of a batch,
var' = var / (1 + var H) and mean' = mean + min(max(var' G, -b), b), b = clip sqrt(var).
`share` is the part of their uncertainty that the observations of a batch have in common: the
predictive variance counts 1 + share (batch_size - 1) times in an innovation. Raises ValueError
unless share >= 0 and clip > 0, TypeError for anything but a number.)");
  def_constructor(information_class,
                  py::init([](const Argument<double>& share, const Argument<double>& clip) {
                    return Information{share.as("share"), clip.as("clip")};
                  }),
                  py::arg("share") = 0.01, py::arg("clip") = 1.0 / 3.0);
}

void bind_capped(py::module_& m) {
  py::class_<Capped, UpdateRule> capped_class(
      m, "Capped", R"(The capped update of cuTAGI, for comparisons with published results.

mean' = mean + var G and var' = var - var^2 H, both changes bounded by sqrt(var) / cap; a variance
that would not be positive becomes 1e-5, but one of 0 stays. cap=None takes 0.1 for batches of 1, 2
below 256, and 3 from 256 on. Raises ValueError unless cap is None or positive, TypeError for
anything but a number.)");
  def_constructor(capped_class, py::init([](const Argument<std::optional<double>>& cap) {
                    return Capped(cap.as("cap"));
                  }),
                  py::arg("cap") = py::none());
}

}  // namespace

void bind_update_rules(py::module_& m) {
  py::class_<UpdateRule> rule_class(m, "UpdateRule", "How observations change the parameters.");
  rule_class.def_property_readonly("config", &rule_config, "The constructor's arguments by name.");
  bind_as_value(rule_class);
  bind_information(m);
  bind_capped(m);
}

}  // namespace tagix::python
