// Sums of squares of a gradient arena, chunk by chunk, and where the first number that is not finite stands.
//
//   sums[first + chunk] = sum of g[i]^2 over the chunk's elements of trained tensors
//   bad[first + chunk]  = base + smallest i of the chunk with p[i] infinite or not a number; where all p are finite, the same
//                         of g[i] plus 2^31; else 0xffffffff
//
// Parameters p are looked at, too: behind a maximum with 0, WGSL may lose what is not a number on its way to the losses.
// A chunk is a workgroup's: 64 threads by STEPS vec4f, a thread's own in turn, then a tree; so the order is fixed. Whether a number
// is finite is read off its bits, since WGSL lets arithmetic assume it. Groups of tensors begin at multiples of 4 and end
// where the next begins; kinds other than trained are looked at but not summed. Grid: x = chunks folded into x and y.

struct Group {
  end: u32, // past the last element, in the numbering of all segments
  shrink: f32,
  step_size: f32,
  kind: u32, // 0 trained, 1 statistics, 2 watched
}

struct Params {
  base: u32, // of the segment's first element among all
  length: u32, // in elements
  first: u32, // the segment's first chunk
}

const STEPS = 32u;

@group(0) @binding(0) var<storage, read> g: array<vec4f>;
@group(0) @binding(1) var<storage, read> groups: array<Group>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<storage, read_write> bad: array<u32>;
@group(0) @binding(4) var<storage, read> p: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

var<workgroup> sum_of: array<f32, 64>;
var<workgroup> bad_of: array<u32, 64>;

fn not_finite(v: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(v) & vec4u(0x7f800000u)) == vec4u(0x7f800000u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups_in: vec3u, @builtin(local_invocation_index) local: u32) {
  let chunk = group.y * groups_in.x + group.x;
  var total = vec4f();
  var worst = 0xffffffffu;
  var at = 0u;
  for (var s = 0u; s < STEPS; s++) {
    let i = (chunk * STEPS + s) * 64u + local;
    if (i * 4u < params.length) {
      let place = params.base + i * 4u;
      while (place >= groups[at].end) { at += 1u; }
      let v = g[i];
      let places = vec4u(place, place + 1u, place + 2u, place + 3u);
      let in_gradient = select(vec4u(0xffffffffu), places | vec4u(0x80000000u), not_finite(v));
      let where_bad = select(in_gradient, places, not_finite(p[i]));
      worst = min(worst, min(min(where_bad.x, where_bad.y), min(where_bad.z, where_bad.w)));
      total += select(vec4f(), v * v, groups[at].kind == 0u);
    }
  }
  sum_of[local] = (total.x + total.y) + (total.z + total.w);
  bad_of[local] = worst;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (local < half) {
      sum_of[local] += sum_of[local + half];
      bad_of[local] = min(bad_of[local], bad_of[local + half]);
    }
    workgroupBarrier();
  }
  if (local == 0u) {
    sums[params.first + chunk] = sum_of[0];
    bad[params.first + chunk] = bad_of[0];
  }
}
