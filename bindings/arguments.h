#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "bindings.h"
#include "core/require.h"

namespace tagix::python {

/// A user's value as what a parameter needs. A wrong type throws TypeError, a number that T cannot
/// hold ValueError; the message names the argument, what it got and what it needed.
///
///   bool    Python's and numpy's, no numbers
///   Index   what has __index__, no bool
///   double  what has __float__ or __index__
///   string  str
void convert_argument(const char* name, py::handle value, bool& result);
void convert_argument(const char* name, py::handle value, Index& result);
void convert_argument(const char* name, py::handle value, double& result);
void convert_argument(const char* name, py::handle value, std::string& result);

template <class T>
void convert_argument(const char* name, py::handle value, std::optional<T>& result) {
  if (!value.is_none()) convert_argument(name, value, result.emplace());
}

/// What an argument gives for each dimension of a grid: one integer for all of them, or a list or a
/// tuple with one for each.
struct Extents {
  py::object value;

  /// Throws TypeError or ValueError with the argument's name for anything else.
  std::vector<Index> for_dimensions(const char* name, std::size_t dimensions) const;
};
void convert_argument(const char* name, py::handle value, Extents& result);

/// Throws TypeError: "name: got 'value', needed ...".
[[noreturn]] void throw_wrong_type(const char* name, py::handle value, const std::string& needed);

/// An argument that the signature shows as a T, and that `as` converts.
///
/// With a parameter of type T pybind11 would refuse a wrong value by itself, in a message that
/// lists C++ signatures and leaves it to the reader to find the argument.
template <class T>
class Argument {
 public:
  explicit Argument(py::object value = {}) : value_(std::move(value)) {}

  T as(const char* name) const {
    T result{};
    convert_argument(name, value_, result);
    return result;
  }

  py::handle value() const { return value_; }

 private:
  py::object value_;
};

/// One of the values of an enum, by the name that users know it by.
template <class Enum>
struct Choice {
  const char* name;
  Enum value;
};

/// The choice that an argument names; throws TypeError for anything but a str, ValueError for
/// another one.
template <class Enum, std::size_t count>
Enum choose(const char* name, const Argument<std::string>& argument,
            const Choice<Enum> (&choices)[count]) {
  std::string needed;
  for (std::size_t i = 0; i < count; ++i) {
    needed += i == 0 ? "'" : i + 1 < count ? ", '" : " or '";
    needed += std::string(choices[i].name) + "'";
  }
  if (!py::isinstance<py::str>(argument.value())) throw_wrong_type(name, argument.value(), needed);
  const std::string chosen = argument.as(name);
  for (const Choice<Enum>& choice : choices) {
    if (chosen == choice.name) return choice.value;
  }
  throw std::invalid_argument(text(name, ": got '", chosen, "', needed ", needed));
}

}  // namespace tagix::python

namespace pybind11::detail {

/// Takes any object.
template <class T>
struct type_caster<tagix::python::Argument<T>> {
 private:
  static constexpr auto shown_name() {
    if constexpr (std::is_same_v<T, tagix::Index>) {
      return const_name("typing.SupportsIndex");
    } else if constexpr (std::is_same_v<T, tagix::python::Extents>) {
      return const_name("typing.SupportsIndex | collections.abc.Sequence[typing.SupportsIndex]");
    } else {
      return make_caster<T>::name;
    }
  }

 public:
  PYBIND11_TYPE_CASTER(tagix::python::Argument<T>, shown_name());

  bool load(handle source, bool) {
    value = tagix::python::Argument<T>(reinterpret_borrow<object>(source));
    return true;
  }
};

}  // namespace pybind11::detail
