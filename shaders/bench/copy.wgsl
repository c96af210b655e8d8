// The adapter's memory ceiling: y = x, four vec4f a thread, 64 apart, so that neighbouring threads touch neighbouring memory.
//
// Bytes moved: 2 * 16 * 4 a thread. Grid: ceil(count / 256) workgroups of 64, count in vec4f, folded into x and y.

struct Params {
  count: u32, // vec4f
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = (group.y * groups.x + group.x) * 256u + local;
  for (var i = 0u; i < 4u; i++) {
    let at = first + 64u * i;
    if (at < params.count) { y[at] = x[at]; }
  }
}
