// Second half of an exclusive scan, in place: counts[i] = sum of counts[0 .. i - 1], with the chunks' totals of copy/scan-sums.wgsl.
// One chunk a thread, which adds up the totals before its own. Grid: x = ceil(chunks / 64).

struct Params {
  count: u32,
  chunk: u32,
  chunks: u32,
}

@group(0) @binding(0) var<storage, read> totals: array<u32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let chunk = group.x * 64u + local;
  if (chunk >= params.chunks) { return; }
  var sum = 0u;
  for (var t = 0u; t < chunk; t++) { sum += totals[t]; }
  for (var i = chunk * params.chunk; i < min((chunk + 1u) * params.chunk, params.count); i++) {
    let count = counts[i];
    counts[i] = sum;
    sum += count;
  }
}
