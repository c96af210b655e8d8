// Zeros: y[i] = 0 for a dense value of any type, in 32-bit words; one a thread. Grid: ceil(count / 64) workgroups folded into x and y.

struct Params {
  count: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i < params.count) { y[i] = 0u; }
}
