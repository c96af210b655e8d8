// Second stage: joins the chunks of norm/standardise-sums.wgsl in their order.
//
//   shares[image, c] = mean over c's group (and, with IMAGES = 1, over the images) of weight * both sums: what each element gives up
//
// `width` adjacent columns are a group; `count` scalars share its statistics. One column of one image a thread, in scalars; where
// groups are wide their sums are repeated, they are small. shares: [images or 1, 2 * columns].
// Grid: x = ceil(columns / 64), y = images, or 1.

const IMAGES: u32 = 0u; // specialise

struct Params {
  images: u32,
  columns: u32,
  chunks: u32,
  width: u32,
  count: f32,
  table_batch: u32, // 0 where all images share the table of mean, scale, weight, bias
  sums_offset: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read_write> shares: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// Sums over an image's chunks of both halves of column c.
fn chunks_of(image: u32, c: u32) -> vec2f {
  var sum = vec2f();
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let at = params.sums_offset + (image * params.chunks + chunk) * 2u * params.columns + c;
    sum += vec2f(sums[at], sums[at + params.columns]);
  }
  return sum;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let c = group.x * 64u + local;
  if (c >= params.columns) { return; }
  let first = c / params.width * params.width;
  let first_image = select(group.y, 0u, IMAGES == 1u);
  let last_image = select(group.y, params.images - 1u, IMAGES == 1u);
  var sum = vec2f();
  for (var image = first_image; image <= last_image; image++) {
    for (var k = first; k < first + params.width; k++) { sum += chunks_of(image, k) * table[image * params.table_batch + 2u * params.columns + k]; }
  }
  let share = sum / params.count;
  shares[group.y * 2u * params.columns + c] = share.x;
  shares[group.y * 2u * params.columns + params.columns + c] = share.y;
}
