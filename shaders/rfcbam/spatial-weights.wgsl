// Gradient of the spatial attention's weights, chunk by chunk of the pixels of all images:
//
//   sums[chunk, (ky * 3 + kx) * 2 + s] = sum over pixels of the chunk of du[pixel] * x[image, row + ky - 1, column + kx - 1, s]
//
// reduce/rows.wgsl adds the chunks. One of the 18 weights of one chunk a thread. Grid: ceil(18 * chunks / 64) workgroups folded into
// x and y.

struct Params {
  images: u32,
  height: u32, // of the map
  width: u32,
  chunk: u32, // pixels in a chunk
  chunks: u32,
  x_offset: u32,
  x_pitch: u32, // from one pixel to the next
  x_batch: u32, // from one image to the next
}

@group(0) @binding(0) var<storage, read> du: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> sums: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let chunk = index / 18u;
  if (chunk >= params.chunks) { return; }
  let weight = index - chunk * 18u;
  let tap = weight / 2u;
  let pixels = params.height * params.width;
  var sum = 0.0;
  for (var p = chunk * params.chunk; p < min((chunk + 1u) * params.chunk, params.images * pixels); p++) {
    let image = p / pixels;
    let pixel = p - image * pixels;
    // A negative position wraps to a huge one.
    let at = vec2u(pixel / params.width + tap / 3u - 1u, pixel % params.width + tap % 3u - 1u);
    let inside = (at.x < params.height) & (at.y < params.width);
    let near = select(0u, at.x * params.width + at.y, inside);
    let v = x[params.x_offset + image * params.x_batch + near * params.x_pitch + weight % 2u];
    sum += select(0.0, du[p] * v, inside);
  }
  sums[index] = sum;
}
