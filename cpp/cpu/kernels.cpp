// Compiled once for each instruction set, with TAGIX_LANES floats a vector, TAGIX_TILE_ROWS rows a
// register tile, and TAGIX_KERNELS as the name of the function that returns the table.

#include "cpu/kernels.h"

#include "cpu/simd.h"
#include "math/affine.h"
#include "math/inference.h"
#include "math/quadrature.h"

namespace tagix::cpu {
namespace {

constexpr int tile_rows = TAGIX_TILE_ROWS;
constexpr PanelLayout panel_layout{TAGIX_LANES};

// Samples and outputs that innovation_rows packs at a time, for the second-level cache: with fewer
// samples, more time goes into fetching and storing sums.
constexpr Index innovation_block = 512;
constexpr Index innovation_outputs = 48;

// Rows that add_column_sums adds up before they join the total.
constexpr Index column_sum_block = 128;

constexpr int variance_terms(ProductKind kind) { return kind == ProductKind::both ? 2 : 1; }

/// Calls body(vector type, vectors a row) for the panel of `width` columns.
template <class Body>
TAGIX_INLINE void with_panel(Index width, Body&& body) {
  if (width == 2 * TAGIX_LANES) {
    body(Vector{}, Constant<2>{});
  } else if (width == TAGIX_LANES) {
    body(Vector{}, Constant<1>{});
  } else {
    body(ThinVector{}, Constant<1>{});
  }
}

/// Calls body(Constant<count>) for count in 1 .. tile_rows.
template <int candidate = tile_rows, class Body>
TAGIX_INLINE void with_row_count(Index count, Body&& body) {
  if (count == candidate) {
    body(Constant<candidate>{});
  } else if constexpr (candidate > 1) {
    with_row_count<candidate - 1>(count, static_cast<Body&&>(body));
  }
}

/// Calls body(first row, Constant<number of rows>) for the register tiles of `rows` rows.
template <class Body>
TAGIX_INLINE void for_each_tile(Index rows, Body&& body) {
  for (Index first = 0; first < rows; first += tile_rows) {
    const Index count = rows - first < tile_rows ? rows - first : tile_rows;
    with_row_count(count, [&](auto n_rows) TAGIX_LAMBDA_INLINE { body(first, n_rows); });
  }
}

/// The first `used` of lanes<V> floats that lie `stride` apart, and zeros.
template <class V>
TAGIX_INLINE V gather(const float* source, Index stride, Index used) {
  float values[lanes<V>];
  for (Index i = 0; i < lanes<V>; ++i) values[i] = i < used ? source[i * stride] : 0.0f;
  return load<V>(values);
}

/// Writes what a product reads for one depth and the columns of a vector: mean, then the variance
/// factors, `width` floats apart.
template <class V>
TAGIX_INLINE void pack_factors(ProductKind kind, V mean, V var, Index width, float* target) {
  store(mean, target);
  if (kind == ProductKind::squared) {
    store(mean * mean, target + width);
  } else if (kind == ProductKind::known) {
    store(var, target + width);
  } else {
    store(math::second_moment(mean, var), target + width);
    store(var, target + 2 * width);
  }
}

/// Packs `used` columns, at most a vector's worth, of a panel of `width`. Where each column is
/// contiguous and the vector full, squares of the weight are transposed in registers.
template <class V>
TAGIX_INLINE void pack_columns(ProductKind kind, const float* mean, const float* var,
                               Index depth_stride, Index column_stride, Index depth, Index used,
                               Index width, float* target) {
  constexpr Index n = lanes<V>;
  const Index depth_step = (1 + variance_terms(kind)) * width;
  Index k = 0;
  if (used == n && depth_stride == 1) {
    for (; k + n <= depth; k += n) {
      V means[n], vars[n];
      unroll<n>([&](auto i) TAGIX_LAMBDA_INLINE {
        means[i.value] = load<V>(mean + i.value * column_stride + k);
        vars[i.value] = load<V>(var + i.value * column_stride + k);
      });
      transpose(means);
      transpose(vars);
      unroll<n>([&](auto i) TAGIX_LAMBDA_INLINE {
        pack_factors(kind, means[i.value], vars[i.value], width,
                     target + (k + i.value) * depth_step);
      });
    }
  } else if (used == n && column_stride == 1) {
    for (; k < depth; ++k) {
      pack_factors(kind, load<V>(mean + k * depth_stride), load<V>(var + k * depth_stride), width,
                   target + k * depth_step);
    }
  }
  for (; k < depth; ++k) {
    pack_factors(kind, gather<V>(mean + k * depth_stride, column_stride, used),
                 gather<V>(var + k * depth_stride, column_stride, used), width,
                 target + k * depth_step);
  }
}

void pack_weight(ProductKind kind, const float* mean, const float* var, Index depth_stride,
                 Index column_stride, Index depth, Index columns, const float* bias_mean,
                 const float* bias_var, float* packed) {
  for (Index first = 0; first < columns;) {
    const Index width = panel_layout.width(columns - first);
    for (Index i = 0; i < width; ++i) {
      const bool used = first + i < columns;
      packed[i] = used && bias_mean != nullptr ? bias_mean[first + i] : 0.0f;
      packed[width + i] = used && bias_var != nullptr ? bias_var[first + i] : 0.0f;
    }
    packed += 2 * width;
    with_panel(width, [&](auto vector, auto n_vectors) TAGIX_LAMBDA_INLINE {
      using V = decltype(vector);
      unroll<n_vectors.value>([&](auto c) TAGIX_LAMBDA_INLINE {
        constexpr Index offset = c.value * lanes<V>;
        const Index left = columns - first - offset;
        const Index used = left < 0 ? 0 : left < lanes<V> ? left : lanes<V>;
        const Index start = (first + offset) * column_stride;
        pack_columns<V>(kind, mean + start, var + start, depth_stride, column_stride, depth, used,
                        width, packed + offset);
      });
    });
    packed += depth * (1 + variance_terms(kind)) * width;
    first += width;
  }
}

/// Copies, or adds, the first `used` columns of `rows` rows of `width` floats to a matrix. A tile
/// whose panel is not full goes through it: a tile that knew of such panels would leave its sums in
/// memory.
TAGIX_INLINE void take_used(const float* source, Index rows, Index width, Index used, bool add,
                            float* target, Index stride) {
  for (Index row = 0; row < rows; ++row, source += width, target += stride) {
    for (Index i = 0; i < used; ++i) target[i] = add ? target[i] + source[i] : source[i];
  }
}

/// One register tile of product_rows: n_rows rows of output times one panel. first_factor is what
/// multiplies the first variance factor of the panel (x_var, or x_mean^2 for ProductKind::known)
/// and second_factor the second (x_mean^2).
template <class V, int n_vectors, int n_rows, int n_terms>
TAGIX_INLINE void product_tile(const float* input_mean, const float* first_factor,
                               const float* second_factor, Index input_stride, Index depth,
                               const float* panel, Index output_stride, float* output_mean,
                               float* output_var) {
  constexpr int width = n_vectors * lanes<V>;
  V mean[n_rows][n_vectors], var[n_rows][n_vectors];
  unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      mean[r.value][c.value] = load<V>(panel + c.value * lanes<V>);
      var[r.value][c.value] = load<V>(panel + width + c.value * lanes<V>);
    });
  });
  const float* factors = panel + 2 * width;
  for (Index k = 0; k < depth; ++k, factors += (1 + n_terms) * width) {
    const auto accumulate = [&](auto& sum, const float* left, const float* right)
                                TAGIX_LAMBDA_INLINE {
                                  V factor[n_vectors];
                                  unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
                                    factor[c.value] = load<V>(right + c.value * lanes<V>);
                                  });
                                  unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
                                    const V value = broadcast<V>(left[r.value * input_stride + k]);
                                    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
                                      sum[r.value][c.value] += value * factor[c.value];
                                    });
                                  });
                                };
    accumulate(mean, input_mean, factors);
    accumulate(var, first_factor, factors + width);
    if constexpr (n_terms == 2) accumulate(var, second_factor, factors + 2 * width);
  }
  unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      const Index position = r.value * output_stride + c.value * lanes<V>;
      store(mean[r.value][c.value], output_mean + position);
      store(var[r.value][c.value], output_var + position);
    });
  });
}

template <int n_terms>
void product_panels(const float* input_mean, const float* first_factor, const float* second_factor,
                    Index input_stride, Index rows, Index depth, Index columns, const float* packed,
                    Index output_stride, float* output_mean, float* output_var) {
  for (Index first = 0; first < columns;) {
    const Index width = panel_layout.width(columns - first);
    const Index used = columns - first < width ? columns - first : width;
    with_panel(width, [&](auto vector, auto n_vectors) TAGIX_LAMBDA_INLINE {
      using V = decltype(vector);
      for_each_tile(rows, [&](Index row, auto n_rows) TAGIX_LAMBDA_INLINE {
        float rest_mean[n_rows.value * n_vectors.value * lanes<V>];
        float rest_var[n_rows.value * n_vectors.value * lanes<V>];
        const Index position = row * input_stride;
        float* mean = output_mean + row * output_stride + first;
        float* var = output_var + row * output_stride + first;
        const bool full = used == width;
        product_tile<V, n_vectors.value, n_rows.value, n_terms>(
            input_mean + position, first_factor + position, second_factor + position, input_stride,
            depth, packed, full ? output_stride : width, full ? mean : rest_mean,
            full ? var : rest_var);
        if (!full) {
          take_used(rest_mean, n_rows.value, width, used, false, mean, output_stride);
          take_used(rest_var, n_rows.value, width, used, false, var, output_stride);
        }
      });
    });
    packed += width * (2 + depth * (1 + n_terms));
    first += width;
  }
}

void product_rows(ProductKind kind, const ProductInput& input, Index rows, Index depth,
                  Index columns, const float* packed, float* output_mean, float* output_var,
                  Index output_stride) {
  if (kind == ProductKind::both) {
    product_panels<2>(input.mean, input.var, input.square, input.stride, rows, depth, columns,
                      packed, output_stride, output_mean, output_var);
  } else {
    const float* factor = kind == ProductKind::known ? input.square : input.var;
    product_panels<1>(input.mean, factor, factor, input.stride, rows, depth, columns, packed,
                      output_stride, output_mean, output_var);
  }
}

/// One output of affine_row: what the columns from `first` on add up to.
template <class V, bool known>
TAGIX_INLINE void add_affine_terms(const ProductInput& input, const float* weight_mean,
                                   const float* weight_var, Index first, V& mean, V& var) {
  const V w_mean = load<V>(weight_mean + first), w_var = load<V>(weight_var + first);
  mean += w_mean * load<V>(input.mean + first);
  var += w_var * load<V>(input.square + first);
  if constexpr (!known) var += math::second_moment(w_mean, w_var) * load<V>(input.var + first);
}

template <bool known>
void affine_row_of(const ProductInput& input, Index in, const AffineParameters& parameters,
                   Index out, float* mean, float* var) {
  constexpr Index n = lanes<Vector>;
  const Index whole = in / n * n;
  for (Index o = 0; o < out; ++o) {
    const float* weight_mean = parameters.weight_mean + o * in;
    const float* weight_var = parameters.weight_var + o * in;
    Vector mean_sums{}, var_sums{};
    for (Index i = 0; i < whole; i += n) {
      add_affine_terms<Vector, known>(input, weight_mean, weight_var, i, mean_sums, var_sums);
    }
    float mean_sum = element_sum(mean_sums), var_sum = element_sum(var_sums);
    for (Index i = whole; i < in; ++i) {
      add_affine_terms<float, known>(input, weight_mean, weight_var, i, mean_sum, var_sum);
    }
    mean[o] = mean_sum + (parameters.bias_mean == nullptr ? 0.0f : parameters.bias_mean[o]);
    var[o] = var_sum + (parameters.bias_var == nullptr ? 0.0f : parameters.bias_var[o]);
  }
}

void affine_row(ProductKind kind, const ProductInput& input, Index in,
                const AffineParameters& parameters, Index out, float* mean, float* var) {
  if (kind == ProductKind::known) {
    affine_row_of<true>(input, in, parameters, out, mean, var);
  } else {
    affine_row_of<false>(input, in, parameters, out, mean, var);
  }
}

/// n_vectors vectors of columns of affine_row_backward.
template <class V, int n_vectors>
TAGIX_INLINE void backward_columns(const float* delta_mean, const float* delta_var, Index out,
                                   const float* weight_mean, Index in, float* mean, float* var) {
  V means[n_vectors]{}, vars[n_vectors]{};
  for (Index o = 0; o < out; ++o, weight_mean += in) {
    const V d_mean = broadcast<V>(delta_mean[o]), d_var = broadcast<V>(delta_var[o]);
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      const V weight = load<V>(weight_mean + c.value * lanes<V>);
      means[c.value] += d_mean * weight;
      vars[c.value] += d_var * (weight * weight);
    });
  }
  unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
    store(means[c.value], mean + c.value * lanes<V>);
    store(vars[c.value], var + c.value * lanes<V>);
  });
}

void affine_row_backward(const float* delta_mean, const float* delta_var, Index out,
                         const float* weight_mean, Index in, float* mean, float* var) {
  constexpr Index n = lanes<Vector>;
  Index i = 0;
  for (; i + 4 * n <= in; i += 4 * n) {
    backward_columns<Vector, 4>(delta_mean, delta_var, out, weight_mean + i, in, mean + i, var + i);
  }
  for (; i + n <= in; i += n) {
    backward_columns<Vector, 1>(delta_mean, delta_var, out, weight_mean + i, in, mean + i, var + i);
  }
  for (; i < in; ++i) {
    float mean_sum = 0, var_sum = 0;
    for (Index o = 0; o < out; ++o) {
      const float weight = weight_mean[o * in + i];
      mean_sum += delta_mean[o] * weight;
      var_sum += delta_var[o] * (weight * weight);
    }
    mean[i] = mean_sum;
    var[i] = var_sum;
  }
}

void square(const float* values, Index size, float* squares) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector value = load_part(values + i);
    store_part(value * value, squares + i);
  });
}

void add(const float* values, Index size, float* sum) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    store_part(load_part(sum + i) + load_part(values + i), sum + i);
  });
}

/// One register tile of an outer product: n_rows columns of `left` times one panel of `right`,
/// summed over samples. `used` columns are written to, or added to, mean and var.
template <class V, int n_vectors, int n_rows>
TAGIX_INLINE void outer_tile(const FactorView& left, const FactorView& right, Index samples,
                             Index used, bool add, float* mean, float* var, Index sum_stride) {
  constexpr int width = n_vectors * lanes<V>;
  V mean_sum[n_rows][n_vectors], var_sum[n_rows][n_vectors];
  unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      mean_sum[r.value][c.value] = V{};
      var_sum[r.value][c.value] = V{};
    });
  });
  const auto accumulate = [&](auto& sum, const float* left_row, const float* right_row)
                              TAGIX_LAMBDA_INLINE {
                                V value[n_vectors];
                                unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
                                  value[c.value] = load<V>(right_row + c.value * lanes<V>);
                                });
                                unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
                                  const V factor = broadcast<V>(left_row[r.value]);
                                  unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
                                    sum[r.value][c.value] += factor * value[c.value];
                                  });
                                });
                              };
  const float *left_mean = left.mean, *left_var = left.var;
  const float *right_mean = right.mean, *right_var = right.var;
  for (Index b = 0; b < samples; ++b) {
    accumulate(mean_sum, left_mean, right_mean);
    accumulate(var_sum, left_var, right_var);
    left_mean += left.stride;
    left_var += left.stride;
    right_mean += right.stride;
    right_var += right.stride;
  }
  float rest_mean[n_rows * width], rest_var[n_rows * width];
  const bool full = used == width;
  const Index stride = full ? sum_stride : width;
  float* mean_target = full ? mean : rest_mean;
  float* var_target = full ? var : rest_var;
  unroll<n_rows>([&](auto r) TAGIX_LAMBDA_INLINE {
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      const Index position = r.value * stride + c.value * lanes<V>;
      V &mean_part = mean_sum[r.value][c.value], &var_part = var_sum[r.value][c.value];
      if (full && add) {
        mean_part += load<V>(mean + position);
        var_part += load<V>(var + position);
      }
      store(mean_part, mean_target + position);
      store(var_part, var_target + position);
    });
  });
  if (full) return;
  take_used(rest_mean, n_rows, width, used, add, mean, sum_stride);
  take_used(rest_var, n_rows, width, used, add, var, sum_stride);
}

void outer_product(const FactorView& left, Index left_cols, const FactorView& right,
                   Index right_cols, Index samples, bool add, float* mean, float* var,
                   Index sum_stride) {
  for (Index first = 0; first < right_cols;) {
    const Index width = panel_layout.width(right_cols - first);
    const Index used = right_cols - first < width ? right_cols - first : width;
    with_panel(width, [&](auto vector, auto n_vectors) TAGIX_LAMBDA_INLINE {
      for_each_tile(left_cols, [&](Index row, auto n_rows) TAGIX_LAMBDA_INLINE {
        outer_tile<decltype(vector), n_vectors.value, n_rows.value>(
            left.from(row), right.from(first), samples, used, add, mean + row * sum_stride + first,
            var + row * sum_stride + first, sum_stride);
      });
    });
    first += width;
  }
}

Index innovation_scratch_size() {
  return innovation_block * 2 * (innovation_outputs + 2 * TAGIX_LANES);
}

/// Packs a panel of inputs: for each sample the means, then their squares.
template <class V, int n_vectors>
TAGIX_INLINE void pack_inputs(const float* input_mean, Index in, Index used, Index samples,
                              float* packed) {
  constexpr int width = n_vectors * lanes<V>;
  for (Index b = 0; b < samples; ++b, packed += 2 * width) {
    const float* row = input_mean + b * in;
    float rest[width];
    if (used < width) {
      for (Index i = 0; i < width; ++i) rest[i] = i < used ? row[i] : 0.0f;
      row = rest;
    }
    unroll<n_vectors>([&](auto c) TAGIX_LAMBDA_INLINE {
      const V value = load<V>(row + c.value * lanes<V>);
      store(value, packed + c.value * lanes<V>);
      store(value * value, packed + width + c.value * lanes<V>);
    });
  }
}

/// Packs innovations tile after tile: for each sample the delta_mean of the tile, then its
/// delta_var.
void pack_deltas(const float* delta_mean, const float* delta_var, Index out, Index outputs,
                 Index samples, float* packed) {
  for_each_tile(outputs, [&](Index first, auto n_rows) TAGIX_LAMBDA_INLINE {
    // Of constant size, so that it is a few moves and no call.
    constexpr auto bytes = static_cast<unsigned long>(n_rows.value) * sizeof(float);
    for (Index b = 0; b < samples; ++b, packed += 2 * n_rows.value) {
      __builtin_memcpy(packed, delta_mean + b * out + first, bytes);
      __builtin_memcpy(packed + n_rows.value, delta_var + b * out + first, bytes);
    }
  });
}

void innovation_rows(const float* input_mean, Index in, const float* delta_mean,
                     const float* delta_var, Index out, Index batch, Index first_output,
                     Index last_output, float* mean, float* var, float* scratch) {
  float* packed_deltas = scratch;
  float* packed_inputs = scratch + innovation_block * 2 * innovation_outputs;
  for (Index sample = 0; sample < batch; sample += innovation_block) {
    const Index samples = batch - sample < innovation_block ? batch - sample : innovation_block;
    for (Index output = first_output; output < last_output; output += innovation_outputs) {
      const Index left = last_output - output;
      const Index outputs = left < innovation_outputs ? left : innovation_outputs;
      const Index position = sample * out + output;
      pack_deltas(delta_mean + position, delta_var + position, out, outputs, samples,
                  packed_deltas);
      for (Index first = 0; first < in;) {
        const Index width = panel_layout.width(in - first);
        const Index used = in - first < width ? in - first : width;
        with_panel(width, [&](auto vector, auto n_vectors) TAGIX_LAMBDA_INLINE {
          using V = decltype(vector);
          pack_inputs<V, n_vectors.value>(input_mean + sample * in + first, in, used, samples,
                                          packed_inputs);
          for_each_tile(outputs, [&](Index row, auto n_rows) TAGIX_LAMBDA_INLINE {
            const float* deltas = packed_deltas + row * samples * 2;
            const Index target = (output + row) * in + first;
            outer_tile<V, n_vectors.value, n_rows.value>(
                {deltas, deltas + n_rows.value, 2 * n_rows.value},
                {packed_inputs, packed_inputs + width, 2 * width}, samples, used, /*add=*/true,
                mean + target, var + target, in);
          });
        });
        first += width;
      }
    }
  }
}

void add_column_sums(const float* plane, Index stride, Index rows, Index columns, float* sum) {
  // Several sums side by side: each addition waits for the one before it.
  constexpr int n_sums = 4;
  for_each_vector(columns, [&](Index column, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const float* source = plane + column;
    Vector total = load_part(sum + column);
    for (Index row = 0; row < rows;) {
      const Index end = rows - row < column_sum_block ? rows : row + column_sum_block;
      Vector sums[n_sums]{};
      for (; row + n_sums <= end; row += n_sums) {
        unroll<n_sums>([&](auto i) TAGIX_LAMBDA_INLINE {
          sums[i.value] += load_part(source + (row + i.value) * stride);
        });
      }
      for (; row < end; ++row) sums[0] += load_part(source + row * stride);
      total += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
    store_part(total, sum + column);
  });
}

void activation(const math::ActivationSpec& spec, const float* input_mean, const float* input_var,
                Index size, float* output_mean, float* output_var, float* jacobian) {
  math::visit_activation(spec, [&](auto function) TAGIX_LAMBDA_INLINE {
    for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      const Vector var = input_var == nullptr ? Vector{} : load_part(input_var + i);
      const math::ActivationMoments<Vector> moments = function(load_part(input_mean + i), var);
      store_part(moments.mean, output_mean + i);
      store_part(moments.var, output_var + i);
      store_part(moments.jacobian, jacobian + i);
    });
  });
}

void activation_points(math::MomentsForm form, const float* input_mean, const float* input_var,
                       Index size, float* points) {
  if (form == math::MomentsForm::first_order) {
    for (Index i = 0; i < size; ++i) points[i] = input_mean[i];
    return;
  }
  for (int node = 0; node < math::n_quadrature_nodes; ++node, points += size) {
    const float position = math::quadrature_nodes[node];
    for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
      const Vector var = input_var == nullptr ? Vector{} : load_part(input_var + i);
      store_part(math::quadrature_point(load_part(input_mean + i), math::sqrt(var), position),
                 points + i);
    });
  }
}

void activation_from_points(math::MomentsForm form, const float* input_var, Index size,
                            const float* values, const float* derivatives, float* output_mean,
                            float* output_var, float* jacobian) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    math::ActivationMoments<Vector> moments;
    if (form == math::MomentsForm::first_order) {
      const Vector var = input_var == nullptr ? Vector{} : load_part(input_var + i);
      moments = math::first_order_moments(load_part(values + i), load_part(derivatives + i), var);
    } else {
      math::QuadratureSums<Vector> sums(
          load_part(values + math::n_quadrature_nodes / 2 * size + i));
      for (int node = 0; node < math::n_quadrature_nodes; ++node) {
        sums.add(math::quadrature_weights[node], load_part(values + node * size + i),
                 load_part(derivatives + node * size + i));
      }
      moments = sums.moments();
    }
    store_part(moments.mean, output_mean + i);
    store_part(moments.var, output_var + i);
    store_part(moments.jacobian, jacobian + i);
  });
}

void scale_deltas(const float* jacobian, Index size, float* delta_mean, float* delta_var) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const math::Innovation<Vector> below = math::through_jacobian(
        math::Innovation<Vector>{load_part(delta_mean + i), load_part(delta_var + i)},
        load_part(jacobian + i));
    store_part(below.delta_mean, delta_mean + i);
    store_part(below.delta_var, delta_var + i);
  });
}

void observe(const float* mean, const float* var, const float* target, const float* noise_var,
             Index noise_stride, float spread, Index size, float* delta_mean, float* delta_var) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const Vector noise =
        noise_stride == 0 ? broadcast<Vector>(*noise_var) : load_part(noise_var + i);
    const math::Innovation<Vector> result =
        math::innovation(load_part(mean + i), load_part(var + i), load_part(target + i), noise,
                         broadcast<Vector>(spread));
    store_part(result.delta_mean, delta_mean + i);
    store_part(result.delta_var, delta_var + i);
  });
}

bool all_finite(const float* values, Index size) {
  // x - x is 0 for finite x, and NaN otherwise; NaN stays in a sum. Several sums side by side: each
  // addition waits for the one before it.
  constexpr int n_sums = 4;
  constexpr Index n = lanes<Vector>;
  Vector sums[n_sums]{};
  Index whole = 0;
  for (; whole + n_sums * n <= size; whole += n_sums * n) {
    unroll<n_sums>([&](auto i) TAGIX_LAMBDA_INLINE {
      const Vector value = load<Vector>(values + whole + i.value * n);
      sums[i.value] += value - value;
    });
  }
  for_each_vector(size - whole, [&](Index i, auto load_part, auto) TAGIX_LAMBDA_INLINE {
    const Vector value = load_part(values + whole + i);
    sums[0] += value - value;
  });
  return element_sum((sums[0] + sums[1]) + (sums[2] + sums[3])) == 0;
}

/// Replaces (mean, var) of `size` parameters by rule(mean, var, delta_mean, delta_var).
template <class Rule>
TAGIX_INLINE void update_each(const float* delta_mean, const float* delta_var, Index size,
                              float* mean, float* var, Rule&& rule) {
  for_each_vector(size, [&](Index i, auto load_part, auto store_part) TAGIX_LAMBDA_INLINE {
    const math::Posterior<Vector> posterior =
        rule(load_part(mean + i), load_part(var + i), load_part(delta_mean + i),
             load_part(delta_var + i));
    store_part(posterior.mean, mean + i);
    store_part(posterior.var, var + i);
  });
}

void information_update(const float* delta_mean, const float* delta_var, float clip, Index size,
                        float* mean, float* var) {
  update_each(delta_mean, delta_var, size, mean, var,
              [clip](Vector m, Vector v, Vector dm, Vector dv) TAGIX_LAMBDA_INLINE {
                return math::information_update(m, v, dm, dv, broadcast<Vector>(clip));
              });
}

void capped_update(const float* delta_mean, const float* delta_var, float cap, Index size,
                   float* mean, float* var) {
  update_each(delta_mean, delta_var, size, mean, var,
              [cap](Vector m, Vector v, Vector dm, Vector dv) TAGIX_LAMBDA_INLINE {
                return math::capped_update(m, v, dm, dv, broadcast<Vector>(cap));
              });
}

constexpr Kernels kernels{TAGIX_INSTRUCTION_SET,
                          panel_layout,
                          pack_weight,
                          product_rows,
                          affine_row,
                          affine_row_backward,
                          square,
                          add,
                          outer_product,
                          innovation_rows,
                          innovation_scratch_size,
                          add_column_sums,
                          activation,
                          activation_points,
                          activation_from_points,
                          scale_deltas,
                          observe,
                          all_finite,
                          information_update,
                          capped_update};

}  // namespace

const Kernels* TAGIX_KERNELS() { return &kernels; }

}  // namespace tagix::cpu
