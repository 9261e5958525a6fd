#include "product_choice.h"

#include <atomic>

#include "runtime.h"

namespace tagix::cuda {
namespace {

std::atomic<Products> products = Products::automatic;
std::atomic<TileSize> tile_size = TileSize::automatic;

}  // namespace

void use_products(Products choice, TileSize size) {
  products = choice;
  tile_size = size;
}

bool runs_on_tensor_cores(Precision precision, Index rows, Index columns, Index depth) {
  const Products choice = products;
  if (choice == Products::multiply_adds || compute_capability() < 80) return false;
  if (choice == Products::tensor_cores) return true;
  const int major = compute_capability() / 10, minor = compute_capability() % 10;
  const bool fast_tf32 = (major == 8 && minor == 0) || major == 9 || major == 10;
  constexpr Index least = 64;
  return (fast_tf32 || precision == Precision::bfloat16) && rows >= least && columns >= least &&
         depth >= least;
}

bool takes_wide_tiles(Index wide_tiles) {
  constexpr Index enough = 96;
  const TileSize choice = tile_size;
  return choice == TileSize::automatic ? wide_tiles >= enough : choice == TileSize::wide;
}

}  // namespace tagix::cuda
