#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "bindings.h"
#include "constructors.h"
#include "layers/convolution.h"
#include "layers/norms.h"
#include "layers/resampling.h"

namespace tagix::python {
namespace {

template <class Class>
using LayerClass = py::class_<Class, Layer, std::shared_ptr<Class>>;

template <int dimensions>
void bind_convolution(py::module_& m, const char* name, const char* doc) {
  using Class = Convolution<dimensions>;
  LayerClass<Class> cls(m, name, doc);
  def_constructor(
      cls,
      py::init([](const Argument<Index>& in_channels, const Argument<Index>& out_channels,
                  const Argument<Extents>& kernel_size, const Argument<Extents>& stride,
                  const py::object& padding, const Argument<Extents>& dilation,
                  const Argument<bool>& bias, const Argument<double>& gain_weight,
                  const Argument<double>& gain_bias) {
        const bool same = py::isinstance<py::str>(padding);
        if (same && padding.cast<std::string>() != "same") {
          throw std::invalid_argument(text("padding: got ", std::string(py::repr(padding)),
                                           ", needed 'same', an integer, or ", dimensions,
                                           " of them"));
        }
        const auto extents = [](const Argument<Extents>& argument, const char* argument_name) {
          return argument.as(argument_name).for_dimensions(argument_name, dimensions);
        };
        // Braces keep the order: the message is about the first argument that is wrong.
        return std::make_shared<Class>(
            ConvolutionSettings{
                in_channels.as("in_channels"), out_channels.as("out_channels"),
                extents(kernel_size, "kernel_size"), extents(stride, "stride"),
                same ? Grid(dimensions, 0) : extents(Argument<Extents>(padding), "padding"),
                extents(dilation, "dilation"), bias.as("bias"), gain_weight.as("gain_weight"),
                gain_bias.as("gain_bias")},
            same);
      }),
      py::arg("in_channels"), py::arg("out_channels"), py::arg("kernel_size"),
      py::arg("stride") = 1, py::arg("padding") = 0, py::arg("dilation") = 1,
      py::arg("bias") = true, py::kw_only(), py::arg("gain_weight") = 1.0,
      py::arg("gain_bias") = 1.0);
}

void bind_conv_transpose(py::module_& m) {
  LayerClass<ConvTranspose2d> cls(
      m, "ConvTranspose2d", R"(A convolution turned round: each position is spread over a window.

Takes (batch, in_channels, H, W) to (batch, out_channels, H', W') with H' = (H - 1) stride - 2 padding
+ dilation (kernel - 1) + 1 + output_padding, and W' likewise. The weight (in_channels, out_channels,
kernel height, kernel width) and the bias (out_channels,) are independent Gaussians. Before training
their means are drawn from N(0, s^2) and their variances are s^2, with s = gain / sqrt(in_channels *
positions of the kernel / product of the strides), the number of terms of an output. Moments are those
of sums of independent products, as in nn.Linear.

Raises ValueError for counts that are out of range or gains outside [1e-12, 1e12], TypeError for counts
that are not integers and the like.)");
  def_constructor(
      cls,
      py::init([](const Argument<Index>& in_channels, const Argument<Index>& out_channels,
                  const Argument<Extents>& kernel_size, const Argument<Extents>& stride,
                  const Argument<Extents>& padding, const Argument<Extents>& output_padding,
                  const Argument<bool>& bias, const Argument<Extents>& dilation,
                  const Argument<double>& gain_weight, const Argument<double>& gain_bias) {
        const auto extents = [](const Argument<Extents>& argument, const char* argument_name) {
          return argument.as(argument_name).for_dimensions(argument_name, 2);
        };
        ConvolutionSettings settings{in_channels.as("in_channels"),
                                     out_channels.as("out_channels"),
                                     extents(kernel_size, "kernel_size"),
                                     extents(stride, "stride"),
                                     extents(padding, "padding"),
                                     extents(dilation, "dilation"),
                                     bias.as("bias"),
                                     gain_weight.as("gain_weight"),
                                     gain_bias.as("gain_bias")};
        return std::make_shared<ConvTranspose2d>(std::move(settings),
                                                 extents(output_padding, "output_padding"));
      }),
      py::arg("in_channels"), py::arg("out_channels"), py::arg("kernel_size"),
      py::arg("stride") = 1, py::arg("padding") = 0, py::arg("output_padding") = 0,
      py::arg("bias") = true, py::arg("dilation") = 1, py::kw_only(), py::arg("gain_weight") = 1.0,
      py::arg("gain_bias") = 1.0);
}

template <class Class>
void bind_windows(py::module_& m, const char* name, const char* doc) {
  LayerClass<Class> cls(m, name, doc);
  def_constructor(cls,
                  py::init([](const Argument<Extents>& kernel_size, const py::object& stride,
                              const Argument<Extents>& padding) {
                    const std::vector<Index> kernel =
                        kernel_size.as("kernel_size").for_dimensions("kernel_size", 2);
                    std::vector<Index> steps = kernel;
                    if (!stride.is_none()) {
                      steps = Argument<Extents>(stride).as("stride").for_dimensions("stride", 2);
                    }
                    return std::make_shared<Class>(
                        kernel, steps, padding.as("padding").for_dimensions("padding", 2));
                  }),
                  py::arg("kernel_size"), py::arg("stride") = py::none(), py::arg("padding") = 0);
}

void bind_pooling(py::module_& m) {
  bind_windows<AvgPool2d>(m, "AvgPool2d", R"(The mean over windows of an image, channel by channel.

Takes (batch, channels, H, W) to (batch, channels, H', W') with H' = (H + 2 padding - kernel) // stride
+ 1. Padded positions are 0 and count, as in PyTorch. Positions count as independent, so a variance is
the sum of those in the window over kernel^4 for a square one.

Raises ValueError for a kernel or a stride below 1 and a padding above half of the kernel, TypeError
for counts that are not integers.)");
  bind_windows<MaxPool2d>(
      m, "MaxPool2d",
      R"(The position with the largest mean in windows of an image, channel by channel.

Takes (batch, channels, H, W) to (batch, channels, H', W') with H' = (H + 2 padding - kernel) // stride
+ 1. Padded positions are left out, as in PyTorch. Which position is the largest counts as known: its
mean and variance pass, and innovations go back to it, as in cuTAGI.

Raises ValueError for a kernel or a stride below 1 and a padding above half of the kernel, TypeError
for counts that are not integers.)");

  LayerClass<AdaptiveAvgPool2d> adaptive(
      m, "AdaptiveAvgPool2d", R"(The mean over all positions of an image, channel by channel.

Takes (batch, channels, H, W) to (batch, channels, 1, 1). Positions count as independent.

Raises ValueError for an output_size other than 1, TypeError unless it is an integer.)");
  def_constructor(adaptive, py::init([](const Argument<Index>& output_size) {
                    return std::make_shared<AdaptiveAvgPool2d>(output_size.as("output_size"));
                  }),
                  py::arg("output_size"));
}

void bind_resampling(py::module_& m) {
  LayerClass<Upsample> upsample(m, "Upsample", R"(An image that is scale_factor times as large.

Takes (batch, channels, H, W) to (batch, channels, scale_factor H, scale_factor W): mode="nearest"
repeats each position, "bilinear" interpolates linearly between positions (PyTorch's align_corners is
False). Positions count as independent.

Raises ValueError for a scale_factor below 1 or an unknown mode, TypeError for one that is not an
integer.)");
  def_constructor(
      upsample,
      py::init([](const Argument<Index>& scale_factor, const Argument<std::string>& mode) {
        static constexpr Choice<Upsample::Mode> modes[] = {{"nearest", Upsample::Mode::nearest},
                                                           {"bilinear", Upsample::Mode::bilinear}};
        return std::make_shared<Upsample>(
            Upsample{scale_factor.as("scale_factor"), choose("mode", mode, modes)});
      }),
      py::arg("scale_factor"), py::arg("mode") = "nearest");

  LayerClass<ZeroPad2d> pad(m, "ZeroPad2d", R"(Zeros around an image.

Takes (batch, channels, H, W) to (batch, channels, top + H + bottom, left + W + right); padding is one
integer for all sides, or (left, right, top, bottom). The zeros are known exactly.

Raises ValueError for negative numbers, TypeError for what is not an integer.)");
  def_constructor(
      pad, py::init([](const Argument<Extents>& padding) {
        return std::make_shared<ZeroPad2d>(padding.as("padding").for_dimensions("padding", 4));
      }),
      py::arg("padding"));
}

NormStatistics parse_statistics(const Argument<std::string>& statistics) {
  static constexpr Choice<NormStatistics> choices[] = {{"exact", NormStatistics::exact},
                                                       {"constant", NormStatistics::constant}};
  return choose("statistics", statistics, choices);
}

void bind_group_norm(py::module_& m) {
  LayerClass<GroupNorm> cls(m, "GroupNorm",
                            R"((x - mu) / sqrt(q + eps) for each row and group of channels.

    mu = mean of m,   q = mean of (m - mu)^2 + v

over the channels of a group at all positions, with m and v the means and variances that come in: the
statistics count what is uncertain. Takes (batch, num_channels, ...) to the same shape. There are no
parameters, since the layer that follows has a scale and a bias.

With statistics="exact" innovations go down by the derivatives of mu and q, too:

    delta_mean' = r (delta_mean - mean(delta_mean) - y mean(delta_mean y)),   delta_var' = r^2 delta_var

with r = 1 / sqrt(q + eps). "constant" is r delta_mean, the form of cuTAGI, with which convolutional
networks hardly train: what is asked for along y is undone in the next forward pass.

Raises ValueError unless num_groups divides num_channels, for an eps outside [0, 1e12] and unknown
statistics, TypeError for counts that are not integers and the like.)");
  def_constructor(
      cls,
      py::init([](const Argument<Index>& num_groups, const Argument<Index>& num_channels,
                  const Argument<double>& eps, const Argument<std::string>& statistics) {
        return std::make_shared<GroupNorm>(GroupNorm{num_groups.as("num_groups"),
                                                     num_channels.as("num_channels"), eps.as("eps"),
                                                     parse_statistics(statistics)});
      }),
      py::arg("num_groups"), py::arg("num_channels"), py::arg("eps") = 1e-5, py::kw_only(),
      py::arg("statistics") = "exact");
}

template <class Class>
void bind_whole_norm(py::module_& m, const char* name, const char* doc) {
  LayerClass<Class> cls(m, name, doc);
  def_constructor(cls,
                  py::init([](const py::object& normalized_shape, const Argument<double>& eps,
                              const Argument<std::string>& statistics) {
                    const bool is_sequence = py::isinstance<py::tuple>(normalized_shape) ||
                                             py::isinstance<py::list>(normalized_shape);
                    const std::size_t n = is_sequence ? py::len(normalized_shape) : 1;
                    const std::vector<Index> shape =
                        Extents{normalized_shape}.for_dimensions("normalized_shape", n);
                    return std::make_shared<Class>(shape, eps.as("eps"),
                                                   parse_statistics(statistics));
                  }),
                  py::arg("normalized_shape"), py::arg("eps") = 1e-5, py::kw_only(),
                  py::arg("statistics") = "exact");
}

void bind_norms(py::module_& m) {
  bind_group_norm(m);
  bind_whole_norm<LayerNorm>(m, "LayerNorm", R"(nn.GroupNorm of all elements of a row.

Takes (batch, *normalized_shape) to the same shape: (features,), or (channels, ...) on a grid.

Raises ValueError for extents below 1, an eps outside [0, 1e12] and unknown statistics, TypeError for
extents that are not integers and the like.)");
  bind_whole_norm<RMSNorm>(m, "RMSNorm",
                           R"(nn.LayerNorm without a mean: x / sqrt(mean(m^2 + v) + eps).

Takes (batch, *normalized_shape) to the same shape; innovations as in nn.GroupNorm, without
mean(delta_mean).

Raises ValueError and TypeError as nn.LayerNorm does.)");
}

}  // namespace

void bind_image_layers(py::module_& m) {
  bind_convolution<2>(m, "Conv2d",
                      R"(z[p] = sum over a window of W_t a[p stride + t dilation - padding], + b.

Takes (batch, in_channels, H, W) to (batch, out_channels, H', W') with H' = (H + 2 padding - dilation
(kernel - 1) - 1) // stride + 1, and W' likewise; padding="same" keeps H and W. The weight
(out_channels, in_channels, kernel height, kernel width) and the bias (out_channels,) are independent
Gaussians. Before training their means are drawn from N(0, s^2) and their variances are s^2, with s =
gain / sqrt(in_channels * positions of the kernel). Moments are those of sums of independent products,
as in nn.Linear:

    mean = conv(a_mean, W_mean) + b_mean
    var = conv(a_var, W_mean^2 + W_var) + conv(a_mean^2, W_var) + b_var

Raises ValueError for counts that are out of range, gains outside [1e-12, 1e12], or padding="same" with
a stride, TypeError for counts that are not integers and the like.)");
  bind_convolution<1>(m, "Conv1d", R"(nn.Conv2d along one dimension.

Takes (batch, in_channels, L) to (batch, out_channels, L') with L' = (L + 2 padding - dilation (kernel -
1) - 1) // stride + 1; padding="same" keeps L. The weight is (out_channels, in_channels, kernel), the
bias (out_channels,).

Raises ValueError and TypeError as nn.Conv2d does.)");
  bind_conv_transpose(m);
  bind_pooling(m);
  bind_resampling(m);
  bind_norms(m);
}

}  // namespace tagix::python
