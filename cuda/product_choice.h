#pragma once

#include "core/index.h"
#include "core/precision.h"

// How the matrix products of affine maps are worked out on this GPU.

namespace tagix::cuda {

/// How products are worked out: as their shape and the GPU suggest; by float32 multiply-adds; or on
/// tensor cores, whatever the shape, on a GPU of compute capability 8.0 or more.
enum class Products { automatic, multiply_adds, tensor_cores };

/// The tiles that they are cut into: as many tiles as it takes suggests, or these wherever there is
/// a choice.
enum class TileSize { automatic, narrow, wide };

/// For tests: holds for everything that is queued, or recorded, by the process from now on.
void use_products(Products products, TileSize tiles = TileSize::automatic);

/// Whether a product should run on tensor cores, where it may.
///
/// Three products of tf32 pay where tensor cores have several times the rate of multiply-adds: on
/// the GPUs of data centres (compute capability 8.0, 9.0 and 10.x), for which NVIDIA's data sheets
/// state 7 times or more for tf32, and not on the others, where they state 1 to 2 times. Mixed
/// products do not either: their mean takes three of tf32. One product of bfloat16 pays on all.
///
/// Tiles of tensor cores are filled with zeros beyond the edges, and read in whole slices: below 64
/// in any dimension much of the work would be on zeros, and what is left of it takes less time than
/// the kernel's first loads.
bool runs_on_tensor_cores(Precision precision, Index rows, Index columns, Index depth);

/// Whether a product has enough wide tiles to fill a GPU.
bool takes_wide_tiles(Index wide_tiles);

}  // namespace tagix::cuda
