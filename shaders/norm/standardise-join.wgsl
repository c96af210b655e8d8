// Second stage: joins the chunks of norm/standardise-sums.wgsl in their order.
//
//   weights[c] = sum over images and chunks of the first half: weight's gradient;  weights[columns + c]: bias's, of the second
//   shares[image, c] = mean over c's group (and, with IMAGES = 1, over the images) of weight * both: what each element gives up
//
// `width` adjacent columns are a group; `count` scalars share its statistics. One column a thread, in scalars; where groups are
// wide their sums are repeated, they are small. weights: [2 * columns]; shares: [images or 1, 2 * columns].
// Grid: x = ceil(columns / 64).

const IMAGES: u32 = 0u; // specialise

struct Params {
  images: u32,
  columns: u32,
  chunks: u32,
  width: u32,
  count: f32,
  weight_offset: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> shares: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// Sums over an image's chunks of both halves of column c.
fn chunks_of(image: u32, c: u32) -> vec2f {
  var sum = vec2f();
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let at = (image * params.chunks + chunk) * 2u * params.columns + c;
    sum += vec2f(sums[at], sums[at + params.columns]);
  }
  return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let c = group.x * 64u + local;
  if (c >= params.columns) { return; }
  let first = c / params.width * params.width;
  var all = vec2f(); // of this column
  var shared_sum = vec2f();
  for (var image = 0u; image < params.images; image++) {
    if (IMAGES == 0u) { shared_sum = vec2f(); }
    for (var k = first; k < first + params.width; k++) {
      let sum = chunks_of(image, k);
      shared_sum += sum * weight[params.weight_offset + k];
      all += select(vec2f(), sum, k == c);
    }
    if (IMAGES == 0u) {
      shares[image * 2u * params.columns + c] = shared_sum.x / params.count;
      shares[image * 2u * params.columns + params.columns + c] = shared_sum.y / params.count;
    }
  }
  if (IMAGES == 1u) {
    shares[c] = shared_sum.x / params.count;
    shares[params.columns + c] = shared_sum.y / params.count;
  }
  weights[c] = all.x;
  weights[params.columns + c] = all.y;
}
