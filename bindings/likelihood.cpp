#include "likelihood.h"

#include <optional>

#include "arguments.h"

namespace tagix::python {
namespace {

// Labels travel as float32, which holds every integer up to 2^24.
constexpr Index most_classes = Index{1} << 24;

Index checked_classes(const Argument<Index>& n_classes) {
  const Index count = n_classes.as("n_classes");
  require(count >= 2 && count <= most_classes, "n_classes: got ", count, ", needed 2 to ",
          most_classes);
  return count;
}

struct HierarchicalSoftmax {
  Index n_classes;

  math::ClassHead head() const { return {math::ClassLink::tree, n_classes, 0}; }
  py::dict config() const {
    py::dict dict;
    dict["n_classes"] = n_classes;
    return dict;
  }
};

struct Remax {
  static constexpr double default_std = 0.1;

  Index n_classes;
  double std;

  math::ClassHead head() const {
    return {math::ClassLink::remax, n_classes, static_cast<float>(std * std)};
  }
  py::dict config() const {
    py::dict dict;
    dict["n_classes"] = n_classes;
    dict["std"] = std;
    return dict;
  }
};

struct Softmax {
  Index n_classes;

  math::ClassHead head() const { return {math::ClassLink::softmax, n_classes, 0}; }
  py::dict config() const {
    py::dict dict;
    dict["n_classes"] = n_classes;
    return dict;
  }
};

struct OneVsRest {
  static constexpr double default_std = 0.3;
  static constexpr double default_link_std = 0.28;
  static constexpr double default_sharpness = 2;

  Index n_classes;
  double std, link_std, sharpness;

  math::ClassHead head() const {
    return {math::ClassLink::one_vs_rest, n_classes, static_cast<float>(std * std),
            static_cast<float>(link_std * link_std), static_cast<float>(sharpness)};
  }
  py::dict config() const {
    py::dict dict;
    dict["n_classes"] = n_classes;
    dict["std"] = std;
    dict["link_std"] = link_std;
    dict["sharpness"] = sharpness;
    return dict;
  }
};

/// What all have.
template <class Likelihood>
void bind_likelihood_of(py::class_<Likelihood>& cls) {
  cls.def_property_readonly("config", &Likelihood::config, "The constructor's arguments by name.")
      .def_property_readonly(
          "n_classes", [](const Likelihood& likelihood) { return likelihood.n_classes; },
          "The number of classes; labels are 0 to n_classes - 1.")
      .def_property_readonly(
          "n_outputs", [](const Likelihood& likelihood) { return likelihood.head().n_outputs(); },
          "The outputs that the last layer of a network has to have.");
  bind_as_value(cls);
}

}  // namespace

math::ClassHead class_head(const py::object& likelihood) {
  if (py::isinstance<HierarchicalSoftmax>(likelihood)) {
    return likelihood.cast<HierarchicalSoftmax>().head();
  }
  if (py::isinstance<Remax>(likelihood)) return likelihood.cast<Remax>().head();
  if (py::isinstance<OneVsRest>(likelihood)) return likelihood.cast<OneVsRest>().head();
  if (py::isinstance<Softmax>(likelihood)) return likelihood.cast<Softmax>().head();
  return {};
}

void bind_likelihood(py::module_& m) {
  py::class_<HierarchicalSoftmax> tree_class(m, "HierarchicalSoftmax",
                                             R"(Classes as the leaves of a balanced binary tree.

Each of the n_classes - 1 inner nodes has an output z of the network. At a node a row goes right
with probability Phi(z), the standard normal distribution function, else left, down to its class.
With z ~ N(mean, var), s = 1 for right, -1 for left, beta = mean / sqrt(1 + var) and
r(x) = phi(x) / Phi(x), probabilities and the mean of the posterior are exact, and the information
is its expectation over both branches:

    P(s) = Phi(s beta),   delta_mean = s r(s beta) / sqrt(1 + var),
    delta_var = -r(beta) r(-beta) / (1 + var)

The probability of a class is the product along its path, whose nodes count as independent. A row
changes no more than log2(n_classes) outputs. Classes with neighbouring numbers share most of their
path: many classes are learned best where neighbours are alike. With two classes there is one output.
n_outputs is n_classes - 1.

Raises ValueError unless n_classes is in [2, 2**24], TypeError for anything but an integer.)");
  def_constructor(tree_class, py::init([](const Argument<Index>& n_classes) {
                    return HierarchicalSoftmax{checked_classes(n_classes)};
                  }),
                  py::arg("n_classes"));
  bind_likelihood_of(tree_class);

  py::class_<Remax> remax_class(m, "Remax",
                                R"(Classes by rectified outputs, one for each, over their sum.

With M_i = max(z_i, 0) of mean m_i and variance s_i, and their sum of mean m and variance s, the share
A_i = M_i / sum M_j has, for log-normal M_i and sum, a closed form in b = s / m^2, c = s_i / (m_i m):

    E A_i = (m_i / m) (1 + b) / (1 + c)

A label is observed as shares of 1 and 0, with the variance E A (1 - E A) of a label and additional
noise of standard deviation `std`; None takes 0.1. Probabilities are the expected shares, normalized
to sum to 1. Unlike the tree it treats all classes alike, and every row changes every output.
n_outputs is n_classes.

Raises ValueError unless n_classes is in [2, 2**24] and std None or in [1e-6, 1e6], TypeError for
anything but a number.)");
  def_constructor(
      remax_class,
      py::init([](const Argument<Index>& n_classes, const Argument<std::optional<double>>& std) {
        const Index count = checked_classes(n_classes);
        const double noise = std.as("std").value_or(Remax::default_std);
        require(noise >= 1e-6 && noise <= 1e6, "std: got ", noise,
                ", needed None or a number in [1e-6, 1e6]");
        return Remax{count, noise};
      }),
      py::arg("n_classes"), py::arg("std") = py::none());
  bind_likelihood_of(remax_class);

  py::class_<Softmax> softmax_class(
      m, "Softmax", R"(Classes by exponentials of outputs, one for each, over their sum.

Outputs are z_i ~ N(mean_i, var_i), and p is the softmax of the means. The logit of class i has, to
first order, the variance t_i = var_i + sum_{j != i} q_j^2 var_j with q_j = p_j / (1 - p_i).
Probabilities are those of a softmax flattened by these variances, and innovations are those of
labels with these probabilities:

    P_i = p_i^k_i / sum_j p_j^k_j,   k_i = 1 / sqrt(1 + pi/8 t_i)
    delta_mean = k_i (y_i - P_i),    delta_var = -k_i^2 P_i (1 - P_i)

It treats all classes alike, every row changes every output, and it learns many classes best. n_outputs
is n_classes.

Raises ValueError unless n_classes is in [2, 2**24], TypeError for anything but an integer.)");
  def_constructor(softmax_class, py::init([](const Argument<Index>& n_classes) {
                    return Softmax{checked_classes(n_classes)};
                  }),
                  py::arg("n_classes"));
  bind_likelihood_of(softmax_class);

  py::class_<OneVsRest> one_vs_rest_class(
      m, "OneVsRest", R"(Classes by regressions, one for each: 1 where it is the label, and else 0.

These numbers are observed with noise of standard deviation `std`, so innovations are those of a
regression. The weight w_i of a class is the probability that its output, with additional noise of
standard deviation `link_std`, is above 1/2, raised to the power `sharpness`:

    P_i = w_i / sum_j w_j,   w_i = Phi((mean_i - 1/2) / sqrt(var_i + link_std^2))^sharpness

link_std and sharpness decide how sure it is of a class. TagiClassifier fits them to held-out rows;
then it predicts most tables of 3 to 32 classes better than a softmax does. With the default values,
and with many classes, Softmax is the better choice. n_outputs is n_classes.

Args:
    n_classes: how many classes there are; labels are 0 to n_classes - 1.
    std: standard deviation of the noise of 1 and 0; None takes 0.3.
    link_std: standard deviation beside that of an output; None takes 0.28.
    sharpness: the power; None takes 2.

Raises ValueError unless n_classes is in [2, 2**24], std and link_std None or in [1e-6, 1e6], and
sharpness None or in [1e-3, 1e3]; TypeError for anything but a number.)");
  def_constructor(
      one_vs_rest_class,
      py::init([](const Argument<Index>& n_classes, const Argument<std::optional<double>>& std,
                  const Argument<std::optional<double>>& link_std,
                  const Argument<std::optional<double>>& sharpness) {
        const auto checked = [](const Argument<std::optional<double>>& argument, const char* name,
                                double value, double range) {
          const double number = argument.as(name).value_or(value);
          require(number >= 1 / range && number <= range, name, ": got ", number,
                  ", needed None or a number in [", 1 / range, ", ", range, "]");
          return number;
        };
        return OneVsRest{checked_classes(n_classes),
                         checked(std, "std", OneVsRest::default_std, 1e6),
                         checked(link_std, "link_std", OneVsRest::default_link_std, 1e6),
                         checked(sharpness, "sharpness", OneVsRest::default_sharpness, 1e3)};
      }),
      py::arg("n_classes"), py::arg("std") = py::none(), py::arg("link_std") = py::none(),
      py::arg("sharpness") = py::none());
  bind_likelihood_of(one_vs_rest_class);
}

}  // namespace tagix::python
