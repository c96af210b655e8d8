// The losses of each set of outputs, image by image: sums over the set's rows.
//
//   y[image, set] = sum over rows of (class weight * classification, L1, GIoU), starts[set] <= row < starts[set + 1]
//
// The class weight stands in column 4 of `line`; `losses` holds L1 and GIoU losses, weighted, in its first columns. One workgroup
// a set and image: each thread adds every 64th row in turn, then a tree, so the order is fixed. Grid: x = sets, z = images.

struct Params {
  sets: u32,
  classes_offset: u32,
  classes_pitch: u32,
  classes_batch: u32,
  line_offset: u32,
  line_pitch: u32,
  line_batch: u32,
  losses_offset: u32,
  losses_pitch: u32,
  losses_batch: u32,
}

@group(0) @binding(0) var<storage, read> classes: array<f32>;
@group(0) @binding(1) var<storage, read> line: array<f32>;
@group(0) @binding(2) var<storage, read> losses: array<f32>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> part: array<vec3f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let end = starts[group.x + 1u];
  var total = vec3f();
  for (var row = starts[group.x] + local; row < end; row += 64u) {
    let weight = line[params.line_offset + group.z * params.line_batch + row * params.line_pitch + 4u];
    let found = classes[params.classes_offset + group.z * params.classes_batch + row * params.classes_pitch];
    let at = params.losses_offset + group.z * params.losses_batch + row * params.losses_pitch;
    total += vec3f(weight * found, losses[at], losses[at + 1u]);
  }
  part[local] = total;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (local < half) { part[local] += part[local + half]; }
    workgroupBarrier();
  }
  if (local < 3u) { y[(group.z * params.sets + group.x) * 3u + local] = part[0][local]; }
}
