// First half of an exclusive scan: totals[t] = sum of counts[t * chunk .. t * chunk + chunk - 1]. One chunk a thread.
// Grid: x = ceil(chunks / 64).

struct Params {
  count: u32,
  chunk: u32,
  chunks: u32,
}

@group(0) @binding(0) var<storage, read> counts: array<u32>;
@group(0) @binding(1) var<storage, read_write> totals: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let chunk = group.x * 64u + local;
  if (chunk >= params.chunks) { return; }
  var sum = 0u;
  for (var i = chunk * params.chunk; i < min((chunk + 1u) * params.chunk, params.count); i++) { sum += counts[i]; }
  totals[chunk] = sum;
}
