// Gradient of picked rows: dx[image, r, c] = sum over sources k with indices[k] = r of g[k, c], in the order of k; rows that none
// picks are zero, and so is row `skip`.
//
// Sources are all picks of an image; where x is shared by all images, those of all images, one image after the other. An index past
// the end picked the last row. By WHO, for the fewer comparisons:
//   0 each row of x looks through all sources (one launch);
//   1 each source looks whether it is the first of its row, and if so sums all of that row (after dx is cleared).
//
// Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value, those of indices in scalars.
// One Value of a row (or source) a thread, columns fastest. Grid: x = ceil(rows or sources * columns / 64) folded into x and y,
// z = images of x.

alias Value = vec4f;

const WHO: u32 = 0u; // specialise

struct Params {
  rows: u32, // of x
  columns: u32,
  sources: u32, // of an image of x
  count: u32, // picks of an image of g
  skip: u32, // no row: 0xffffffff
  indices_offset: u32,
  indices_pitch: u32,
  indices_batch: u32, // 0 where all images share them
  g_offset: u32,
  g_pitch: u32, // from one row to the next
  g_batch: u32, // from one image to the next
  dx_offset: u32,
  dx_pitch: u32,
  dx_batch: u32,
}

@group(0) @binding(0) var<storage, read> indices: array<u32>;
@group(0) @binding(1) var<storage, read> g: array<Value>;
@group(0) @binding(2) var<storage, read_write> dx: array<Value>;
@group(0) @binding(3) var<uniform> params: Params;

// Source k of image z of x is row y of image x of g.
fn place(z: u32, k: u32) -> vec2u {
  return vec2u(z + k / params.count, k % params.count);
}

fn row_of(at: vec2u) -> u32 {
  return min(indices[params.indices_offset + at.x * params.indices_batch + at.y * params.indices_pitch], params.rows - 1u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let line = index / params.columns;
  let column = index % params.columns;
  let z = group.z;
  var row = line;
  var first = 0u;
  if (WHO == 0u) {
    if (line >= params.rows) { return; }
  } else {
    if (line >= params.sources) { return; }
    row = row_of(place(z, line));
    if (row == params.skip) { return; }
    for (var k = 0u; k < line; k++) {
      if (row_of(place(z, k)) == row) { return; }
    }
    first = line;
  }
  var sum = Value();
  if (row != params.skip) {
    for (var k = first; k < params.sources; k++) {
      let at = place(z, k);
      if (row_of(at) == row) { sum += g[params.g_offset + at.x * params.g_batch + at.y * params.g_pitch + column]; }
    }
  }
  dx[params.dx_offset + z * params.dx_batch + row * params.dx_pitch + column] = sum;
}
