#include "graph/windows.h"

#include <algorithm>

namespace tagix::graph {
namespace {

/// Rows `first` and on of a view.
template <class View>
View rows_of(View view, Index first, Index rows) {
  return view.slice(first * view.cols, rows, view.cols);
}

/// The windows of a table over an image, or over the positions of a line, if along its rows they
/// have no gaps.
std::optional<ImageWindows> image_windows(const TapTable& taps, Index channels) {
  const auto& [kind, numbers, weight] = taps.recipe();
  const std::vector<WindowAxis> axes =
      kind == "window" ? axes_of(numbers) : std::vector<WindowAxis>{};
  if (axes.empty() || axes.size() > 2) return std::nullopt;
  const bool is_line = axes.size() == 1;
  const WindowAxis y = is_line ? WindowAxis{1} : axes[0], x = axes.back();
  if (x.dilation > 1 && x.kernel > 1) return std::nullopt;
  const Grid &from = taps.input_grid(), &to = taps.grid();
  return ImageWindows{is_line ? 1 : from[0],
                      from.back(),
                      channels,
                      is_line ? 1 : to[0],
                      to.back(),
                      y.kernel,
                      x.kernel,
                      y.stride,
                      x.stride,
                      y.padding_before,
                      x.padding_before,
                      y.dilation};
}

/// What innovations below such windows read, by reversed taps, if those are such windows, too.
std::optional<ImageWindows> reversed(const std::optional<ImageWindows>& up, Index outputs) {
  if (!up || up->stride_y > 1 || up->stride_x > 1) return std::nullopt;
  const Index top = up->dilation_y * (up->kernel_y - 1) - up->top,
              left = up->kernel_x - 1 - up->left;
  if (top < 0 || left < 0) return std::nullopt;
  return ImageWindows{up->out_height, up->out_width, outputs, up->height, up->width,
                      up->kernel_y,   up->kernel_x,  1,       1,          top,
                      left,           up->dilation_y};
}

}  // namespace

WindowedAffine::WindowedAffine(const Pass& pass, Value node)
    : pass_(pass),
      op_(std::get<Affine>(pass.graph.node(node).op)),
      input_(pass.value(op_.x)),
      weight_(weight_of(pass.graph, node, pass.parameters)),
      bias_(bias_of(pass.graph, node, pass.parameters)),
      positions_(pass.graph.shape(node).positions()) {
  up_ = image_windows(*op_.taps, input_.cols);
  down_ = reversed(up_, weight_.rows);
}

const ImageProducts* WindowedAffine::products(const std::optional<ImageWindows>& windows,
                                              Index outputs) const {
  const ImageProducts* const products = pass_.backend.image_products();
  const bool has = windows && products != nullptr && products->gives(outputs);
  return has ? products : nullptr;
}

template <class Body>
void WindowedAffine::for_tiles(Index rows, Index columns, const Body& body) const {
  // A tile of both planes stays in the last cache of a processor, and fills a GPU.
  const Index size = pass_.backend.reads_host_memory() ? Index{1} << 20 : Index{1} << 24;
  constexpr Index step =
      64;  // two samples may share a cell, and whole tiles of products are faster
  const Index each = std::max<Index>(step, size / columns / step * step);
  for (Index first = 0; first < rows; first += each) body(first, std::min(each, rows - first));
}

ConstMomentsView WindowedAffine::gathered(ConstMomentsView values, const TapTable& taps,
                                          Index first, Index rows) const {
  const Index columns = taps.n_taps() * values.cols, size = rows * columns;
  Buffer<float>& tile = pass_.windows.tile;
  tile.resize(2 * size);
  const auto gather = [&](const float* plane, float* to) -> const float* {
    if (plane == nullptr) return nullptr;
    pass_.backend.gather(plane, values.cols, pass_.taps.windows_of(taps), first, rows, to);
    return to;
  };
  return {gather(values.mean, tile.data()), gather(values.var, tile.data() + size), rows, columns};
}

ConstMomentsView WindowedAffine::weight_by_taps(bool reversed) const {
  const Index n_taps = op_.taps->n_taps(), channels = input_.cols, outputs = weight_.rows;
  Buffer<float>& memory = pass_.windows.weight;
  memory.resize(2 * weight_.size());
  const MomentsView by_taps{memory.data(), memory.data() + weight_.size(), n_taps * outputs,
                            channels};
  for (Index tap = 0; tap < n_taps; ++tap) {
    const Index place = reversed ? n_taps - 1 - tap : tap;
    pass_.backend.copy_columns(weight_.columns(tap * channels, channels),
                               all_columns(rows_of(by_taps, place * outputs, outputs)));
  }
  return by_taps;
}

void WindowedAffine::forward(const std::optional<Epilogue>& epilogue, MomentsView output) const {
  if (const ImageProducts* const images = products(up_, output.cols); images && !epilogue) {
    images->forward(input_, *up_, weight_, bias_, output);
    return;
  }
  for_tiles(output.rows, weight_.cols, [&](Index first, Index rows) {
    std::optional<Epilogue> of_tile = epilogue;
    if (of_tile) of_tile->jacobian += first * output.cols;
    pass_.backend.affine_forward(gathered(input_, *op_.taps, first, rows), weight_, bias_, of_tile,
                                 rows_of(output, first, rows));
  });
}

void WindowedAffine::means(float* output) const {
  if (const ImageProducts* const images = products(up_, weight_.rows)) {
    images->means(input_, *up_, weight_, bias_, output);
    return;
  }
  for_tiles(pass_.rows() * positions_, weight_.cols, [&](Index first, Index rows) {
    const ConstMomentsView means{input_.mean, nullptr, input_.rows, input_.cols};
    pass_.backend.affine_means(gathered(means, *op_.taps, first, rows), weight_, bias_,
                               output + first * weight_.rows);
  });
}

void WindowedAffine::backward(ConstMomentsView delta, const float* jacobian,
                              MomentsView below) const {
  if (const ImageProducts* const images = products(down_, below.cols)) {
    images->backward(delta, *down_, weight_by_taps(/*reversed=*/true), below);
    if (jacobian != nullptr) pass_.backend.scale_deltas(jacobian, below);
    return;
  }
  const ConstMomentsView weight = weight_by_taps();
  for_tiles(below.rows, weight.rows, [&](Index first, Index rows) {
    pass_.backend.affine_backward(gathered(delta, op_.taps->transposed(), first, rows), weight,
                                  jacobian == nullptr ? nullptr : jacobian + first * below.cols,
                                  rows_of(below, first, rows));
  });
}

void WindowedAffine::learn(ConstMomentsView delta, bool add,
                           const std::function<void(const AffinePass&)>& take) const {
  const ConstMomentsView means{input_.mean, nullptr, input_.rows, input_.cols};
  if (products(up_, delta.cols) != nullptr) {
    take({means, delta, op_.weight, op_.bias, add, up_});
    return;
  }
  for_tiles(delta.rows, weight_.cols, [&](Index first, Index rows) {
    take({gathered(means, *op_.taps, first, rows), rows_of(delta, first, rows), op_.weight,
          op_.bias, add || first > 0});
  });
}

void WindowedAffine::adjoint(Index n_outputs, ConstMomentsView adjoint, MomentsView below) const {
  const ConstMomentsView weight = weight_by_taps();
  for (Index output = 0; output < n_outputs; ++output) {
    const Index start = output * input_.rows;
    for_tiles(input_.rows, weight.rows, [&](Index first, Index rows) {
      pass_.backend.affine_adjoint(rows_of(input_, first, rows), weight,
                                   gathered(adjoint, op_.taps->transposed(), start + first, rows),
                                   rows_of(below, start + first, rows));
    });
  }
}

void WindowedAffine::spread(bool by_var, float* spread) const {
  const ConstMomentsView input{by_var ? nullptr : input_.mean, input_.var, input_.rows,
                               input_.cols};
  for_tiles(pass_.rows() * positions_, weight_.cols, [&](Index first, Index rows) {
    pass_.backend.affine_spread(gathered(input, *op_.taps, first, rows), weight_,
                                by_var ? ConstMomentsView{} : bias_, spread + first * weight_.rows);
  });
}

void WindowedAffine::add_weight_adjoint(Index n_outputs, ConstMomentsView adjoint,
                                        ColumnsView sums) const {
  const ConstMomentsView means{input_.mean, nullptr, input_.rows, input_.cols};
  const Index batch = pass_.rows();
  for_tiles(batch, positions_ * weight_.cols, [&](Index first, Index rows) {
    const Index first_position = first * positions_, positions = rows * positions_;
    const ConstMomentsView windows = gathered(means, *op_.taps, first_position, positions);
    for (Index output = 0; output < n_outputs; ++output) {
      const Index row = output * batch + first;
      ColumnsView own = sums;
      own.rows = rows;
      own.mean += row * sums.stride;
      pass_.backend.add_weight_adjoint(windows.mean, windows.cols,
                                       rows_of(adjoint, row * positions_, positions),
                                       /*n_outputs=*/1, own);
    }
  });
}

}  // namespace tagix::graph
