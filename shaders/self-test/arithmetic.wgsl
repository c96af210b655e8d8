// Canary kernel of the self-test: one workgroup computes what Node or the page knows already.
//
//   out[i]        = exp(-x[i])
//   out[256 + i]  = sqrt(x[i])
//   out[512 + i]  = x[i] / divisor
//   out[768 + i]  = x[255 - i], by way of workgroup memory and a barrier
//   sums[0]       = sum of i * 2654435761 mod 2^32 over all lanes, as a tree in workgroup memory
//   sums[1]       = number of lanes that saw the tree's result
//
// A driver that drops a barrier, reorders a workgroup store or approximates too much shows here first.

struct Params { divisor: f32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<atomic<u32>>;
@group(0) @binding(3) var<uniform> params: Params;

const LANES = 256u;
var<workgroup> row: array<f32, LANES>;
var<workgroup> tree: array<u32, LANES>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) i: u32) {
  row[i] = x[i];
  tree[i] = i * 2654435761u;
  workgroupBarrier();
  out[i] = exp(-x[i]);
  out[LANES + i] = sqrt(x[i]);
  out[2u * LANES + i] = x[i] / params.divisor;
  out[3u * LANES + i] = row[LANES - 1u - i];
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (i < half) { tree[i] += tree[i + half]; }
    workgroupBarrier();
  }
  if (i == 0u) { atomicStore(&sums[0], tree[0]); }
  atomicAdd(&sums[1], select(0u, 1u, tree[0] != 0u));
}
