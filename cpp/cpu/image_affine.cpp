#include "cpu/image_affine.h"

#include <algorithm>

#include "cpu/elementwise.h"
#include "cpu/pieces.h"
#include "cpu/scratch.h"

namespace tagix::cpu {
namespace {

struct PackedImageWeight {};
struct PaddedPlanes {};
struct PartialImageSums {};

/// Some rows of results of an image, and the rows of the image that they read, with their padding.
struct Band {
  const ImageWindows& windows;
  Index first;  // row of results
  Index rows;

  Index padded_width() const {
    return (windows.out_width - 1) * windows.stride_x + windows.kernel_x;
  }
  Index row_stride() const { return padded_width() * windows.channels; }
  Index padded_rows() const {
    return (rows - 1) * windows.stride_y + windows.dilation_y * (windows.kernel_y - 1) + 1;
  }
  /// Floats of a plane, behind which a vector can be read.
  Index size() const { return padded_rows() * row_stride(); }
  Index room() const { return spread_stride(size() + 64); }

  /// The plane of an image with zeros in the place of its padding.
  void pad(const float* image, float* padded) const {
    const Index channels = windows.channels;
    const Index before = std::min(windows.left, padded_width());
    const Index there = std::clamp<Index>(padded_width() - windows.left, 0, windows.width);
    for (Index row = 0; row < padded_rows(); ++row, padded += row_stride()) {
      const Index y = first * windows.stride_y - windows.top + row;
      if (y < 0 || y >= windows.height) {
        std::fill_n(padded, row_stride(), 0.0f);
        continue;
      }
      std::fill_n(padded, before * channels, 0.0f);
      std::copy_n(image + y * windows.width * channels, there * channels,
                  padded + before * channels);
      std::fill_n(padded + (before + there) * channels,
                  (padded_width() - before - there) * channels, 0.0f);
    }
    std::fill_n(padded, room() - size(), 0.0f);
  }
};

/// The rows of results that are taken at a time: their padded planes stay in the second-level
/// cache.
Index band_rows(const ImageWindows& windows) {
  constexpr Index plane = 1 << 14;
  const Band whole{windows, 0, windows.out_height};
  const Index read = windows.dilation_y * (windows.kernel_y - 1);
  const Index rows = (plane / whole.row_stride() - read) / windows.stride_y;
  // Bands of one size, so that none of them has a few rows alone.
  const Index bands = ceil_div(windows.out_height, std::max<Index>(4, rows));
  return ceil_div(windows.out_height, bands);
}

template <class Body>
void for_bands(const ImageWindows& windows, const Body& body) {
  const Index most = band_rows(windows);
  for (Index first = 0; first < windows.out_height; first += most) {
    body(Band{windows, first, std::min(most, windows.out_height - first)});
  }
}

/// Calls body(image, band) for all bands of a batch.
template <class Body>
void for_images(const ImageWindows& windows, Index batch, double multiply_adds, const Body& body) {
  const Index rows = band_rows(windows), bands = ceil_div(windows.out_height, rows);
  for_pieces(batch * bands, 1, multiply_adds * multiply_add_ns / static_cast<double>(bands),
             [&](Index piece, Index) {
               const Index first = piece % bands * rows;
               body(piece / bands,
                    Band{windows, first, std::min(rows, windows.out_height - first)});
             });
}

}  // namespace

bool ImageAffine::gives(Index channels) const {
  // A bfloat16 cell has two neighbours, of which a run may have an odd number; dot products have
  // one segment.
  const bool is_float32 = formats_.mean == Format::float32 && formats_.var == Format::float32;
  Index last = channels;
  while (last > kernels_.layout.width(last)) last -= kernels_.layout.width(last);
  const bool is_dot_panel = kernels_.layout.width(last) < kernels_.layout.lanes && last <= 2;
  return is_float32 && !is_dot_panel;
}

void ImageAffine::forward(ConstMomentsView input, const ImageWindows& windows,
                          ConstMomentsView weight, ConstMomentsView bias,
                          MomentsView output) const {
  const ProductKind kind = input.var == nullptr ? ProductKind::known : ProductKind::both;
  multiply(kind, input, windows, {weight.mean, weight.var, 1, weight.cols}, bias, output);
}

void ImageAffine::backward(ConstMomentsView delta, const ImageWindows& windows,
                           ConstMomentsView weight, MomentsView below) const {
  multiply(ProductKind::squared, delta, windows, {weight.mean, weight.var, weight.cols, 1}, {},
           below);
}

void ImageAffine::multiply(ProductKind kind, ConstMomentsView input, const ImageWindows& windows,
                           const WeightView& weight, ConstMomentsView bias,
                           MomentsView output) const {
  const Index depth = windows.depth(), columns = output.cols;
  float* const packed = scratch<PackedImageWeight>(product_.packed_size(kind, depth, columns));
  product_.pack(kind, weight, depth, columns, bias.mean, bias.var, packed);
  const Index batch = output.rows / windows.results();
  const double multiply_adds = 3.0 * static_cast<double>(windows.results() * depth * columns);
  for_images(windows, batch, multiply_adds, [&](Index image, const Band& band) {
    const Index room = band.room();
    float* const mean = scratch<PaddedPlanes>(3 * room);
    float* const var = mean + room;
    float* const moment = var + room;
    const Index first = image * windows.positions() * windows.channels;
    band.pad(input.mean + first, mean);
    if (input.var != nullptr) band.pad(input.var + first, var);
    if (kind != ProductKind::squared) {
      kernels_.second_moment(mean, input.var == nullptr ? nullptr : var, band.size(), moment);
    }
    const Segments segments{windows.kernel_y, windows.row_size(),
                            windows.dilation_y * band.row_stride()};
    const Index stride = windows.stride_x * windows.channels;
    // A panel of the weight stays in the second-level cache for all rows of the band.
    const Index panel = 2 * kernels_.layout.lanes;
    for (Index column = 0; column < columns; column += panel) {
      const ColumnRange range{column, std::min(panel, columns - column)};
      for (Index row = 0; row < band.rows; ++row) {
        const Index from = row * windows.stride_y * band.row_stride();
        const Index result = image * windows.results() + (band.first + row) * windows.out_width;
        const Index to = result * columns + column;
        product_.multiply_columns(
            kind, {mean + from, stride, var + from, moment + from, stride, segments},
            windows.out_width, depth, columns, range, packed,
            {output.mean + to, output.var + to, columns, /*padded=*/false});
      }
    }
  });
}

void ImageAffine::means(ConstMomentsView input, const ImageWindows& windows,
                        ConstMomentsView weight, ConstMomentsView bias, float* output) const {
  const Index depth = windows.depth(), columns = weight.rows;
  float* const packed =
      scratch<PackedImageWeight>(product_.packed_size(ProductKind::squared, depth, columns));
  product_.pack_means({weight.mean, nullptr, 1, weight.cols}, depth, columns, bias.mean, packed);
  const Index batch = input.rows / windows.positions();
  const auto multiply_adds = static_cast<double>(windows.results() * depth * columns);
  for_images(windows, batch, multiply_adds, [&](Index image, const Band& band) {
    float* const mean = scratch<PaddedPlanes>(band.room());
    band.pad(input.mean + image * windows.positions() * windows.channels, mean);
    const Segments segments{windows.kernel_y, windows.row_size(),
                            windows.dilation_y * band.row_stride()};
    for (Index row = 0; row < band.rows; ++row) {
      const Index to =
          (image * windows.results() + (band.first + row) * windows.out_width) * columns;
      product_.multiply_means(mean + row * windows.stride_y * band.row_stride(),
                              windows.stride_x * windows.channels, windows.out_width, depth,
                              columns, packed, {output + to, nullptr, columns, /*padded=*/false},
                              segments);
    }
  });
}

void ImageAffine::sum_innovations(const AffinePass& pass, MomentsView innovation) const {
  const Index outputs = pass.delta.cols;
  const MomentsView weight = innovation.slice(pass.weight, outputs, pass.fan_in());
  const MomentsView bias = pass.bias ? innovation.slice(*pass.bias, 1, outputs) : MomentsView{};
  for (const MomentsView& sums : {weight, bias}) {
    if (pass.add) break;
    std::fill_n(sums.mean, sums.size(), 0.0f);
    std::fill_n(sums.var, sums.size(), 0.0f);
  }
  add_innovations(pass.input, *pass.windows, pass.delta, weight, bias);
}

void ImageAffine::add_innovations(ConstMomentsView input, const ImageWindows& windows,
                                  ConstMomentsView delta, MomentsView weight,
                                  MomentsView bias) const {
  // Groups of images sum by themselves, and their sums are added in their order.
  const Index batch = delta.rows / windows.results(), size = weight.size() + bias.size();
  constexpr Index most_floats = 1 << 21;
  const Index groups = std::min(batch, std::clamp<Index>(most_floats / (2 * size), 2, 32));
  const Index images = ceil_div(batch, groups), n_groups = ceil_div(batch, images);
  if (n_groups == 1) {
    add_images(input, windows, delta, 0, batch, weight, bias);
    return;
  }
  float* const partial = scratch<PartialImageSums>(2 * size * n_groups);
  const auto sums_of = [&](Index group) {
    float* const first = partial + 2 * size * group;
    return MomentsView{first, first + size, 1, size};
  };
  const double multiply_adds =
      2.0 * static_cast<double>(images * windows.results() * weight.size());
  for_pieces(n_groups, 1, multiply_adds * multiply_add_ns, [&](Index group, Index) {
    const MomentsView sums = sums_of(group);
    std::fill_n(sums.mean, 2 * size, 0.0f);
    add_images(input, windows, delta, group * images, std::min(images, batch - group * images),
               sums.slice(0, weight.rows, weight.cols),
               bias.size() == 0 ? MomentsView{} : sums.slice(weight.size(), 1, bias.cols));
  });
  for (Index group = 0; group < n_groups; ++group) {
    const MomentsView sums = sums_of(group);
    add(kernels_, sums.slice(0, weight.rows, weight.cols), weight);
    if (bias.size() > 0) add(kernels_, sums.slice(weight.size(), 1, bias.cols), bias);
  }
}

/// Adds what some images give, an outer product for each row of the windows.
void ImageAffine::add_images(ConstMomentsView input, const ImageWindows& windows,
                             ConstMomentsView delta, Index first, Index images, MomentsView weight,
                             MomentsView bias) const {
  const Index outputs = delta.cols, row_size = windows.row_size();
  for (Index image = first; image < first + images; ++image) {
    const float* const values = input.mean + image * windows.positions() * windows.channels;
    for_bands(windows, [&](const Band& band) {
      float* const mean = scratch<PaddedPlanes>(2 * band.room());
      float* const square = mean + band.room();
      band.pad(values, mean);
      kernels_.square(mean, band.room(), square);
      const Index from = (image * windows.results() + band.first * windows.out_width) * outputs;
      const auto add = [&](const float* deltas, const float* plane, float* sums, float* bias_sums) {
        const SampleFactor left{deltas + from, outputs, outputs, band.rows,
                                windows.out_width * outputs};
        for (Index y = 0; y < windows.kernel_y; ++y) {
          const SampleFactor right{plane + y * windows.dilation_y * band.row_stride(), row_size,
                                   windows.stride_x * windows.channels, band.rows,
                                   windows.stride_y * band.row_stride()};
          kernels_.outer_product(Format::float32, left, right, windows.out_width, /*add=*/true,
                                 sums + y * row_size, weight.cols);
        }
        if (bias_sums == nullptr) return;
        kernels_.add_column_sums(deltas + from, outputs, band.rows * windows.out_width, outputs,
                                 bias_sums);
      };
      add(delta.mean, mean, weight.mean, bias.mean);
      add(delta.var, square, weight.var, bias.var);
    });
  }
}

}  // namespace tagix::cpu
