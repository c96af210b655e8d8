// The gradient of deformable attention's value is made without float atomics: every sampling point reads up to four cells, each
// reading is a record, and a record belongs to the bucket of its image, cell and head. Buckets are filled in any order, then
// sorted by record and summed in that order, so that every run gives the same bits. This is the first stage:
//
//   places[point] = buckets of the point's four records, NONE outside the map;  counts[bucket] += 1 for each (whole numbers: no order)
//   weights[point] = A[p] * (share of each of the four cells)
//
// point = ((image * queries + query) * heads + head) * P + p, record = 4 * point + cell, bucket = (image * cells + cell) * heads + head.
// A, locations and cells are those of deformable/deformable.wgsl; DISCRETE has one record a point.
//
// One point a thread. Small tensors in scalars. Grid: x = ceil(queries * heads * points / 64) folded into x and y, z = images.

override DISCRETE: bool = false;
override GIVEN: bool = false;
override REFERENCE: u32 = 4u; // numbers a reference point has: 4 (x, y, w, h) or 2 (x, y)

const NONE = 0xffffffffu;

struct Params {
  queries: u32,
  heads: u32,
  levels: u32,
  points: u32, // of all levels together
  cells: u32, // of all levels together
  offset_scale: f32,
  reference_level: u32, // from one level's reference to the next: 0 where all share one
  offsets_offset: u32,
  offsets_pitch: u32,
  offsets_batch: u32,
  logits_offset: u32,
  logits_pitch: u32,
  logits_batch: u32,
  reference_offset: u32,
  reference_pitch: u32,
  reference_batch: u32,
}

@group(0) @binding(0) var<storage, read> offsets: array<f32>;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> reference: array<f32>;
@group(0) @binding(3) var<storage, read> levels: array<vec4u>;
@group(0) @binding(4) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(5) var<storage, read_write> places: array<vec4u>;
@group(0) @binding(6) var<storage, read_write> weights: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

fn locate(offset: vec2f, at: u32, size: vec2f, points: f32) -> vec2f {
  if (GIVEN) {
    return offset;
  }
  let centre = vec2f(reference[at], reference[at + 1u]);
  if (REFERENCE == 2u) {
    return centre + offset / size;
  }
  return centre + offset * (params.offset_scale / points) * vec2f(reference[at + 2u], reference[at + 3u]);
}

// Counts a reading of the cell (x, y) and gives its bucket, or NONE. `first`: bucket of the map's first cell and this head.
fn place(x: i32, y: i32, size: vec2i, first: u32) -> u32 {
  if ((x < 0) | (y < 0) | (x >= size.x) | (y >= size.y)) { return NONE; }
  let bucket = first + u32(y * size.x + x) * params.heads;
  atomicAdd(&counts[bucket], 1u);
  return bucket;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = group.z;
  let index = (group.y * groups.x + group.x) * 64u + local;
  let all = params.heads * params.points;
  let query = index / all;
  if (query >= params.queries) { return; }
  let column = index - query * all; // head * P + p
  let head = column / params.points;
  let p = column - head * params.points;
  let logit = params.logits_offset + image * params.logits_batch + query * params.logits_pitch + head * params.points;
  var weight = logits[logit + p];
  if (!GIVEN) {
    var largest = logits[logit];
    for (var k = 1u; k < params.points; k++) { largest = max(largest, logits[logit + k]); }
    var sum = 0.0;
    for (var k = 0u; k < params.points; k++) { sum += exp(logits[logit + k] - largest); }
    weight = exp(weight - largest) / sum;
  }
  var l = 0u;
  var before = 0u;
  while ((l + 1u < params.levels) & (before + levels[l].w <= p)) {
    before += levels[l].w;
    l++;
  }
  let level = levels[l];
  let size = vec2i(vec2u(level.y, level.x));
  let at = params.offsets_offset + image * params.offsets_batch + query * params.offsets_pitch + column * 2u;
  let centre = params.reference_offset + image * params.reference_batch + query * params.reference_pitch + l * params.reference_level;
  let location = locate(vec2f(offsets[at], offsets[at + 1u]), centre, vec2f(size), f32(level.w));
  let first = (image * params.cells + level.z) * params.heads + head;
  let point = (image * params.queries + query) * all + column;
  if (DISCRETE) {
    let cell = vec2i(clamp(location * vec2f(size) + 0.5, vec2f(0.0), vec2f(f32(size.y) - 1.0)));
    // Beyond the map's right edge, where a clamp by the height may lead, the forward reads nothing.
    places[point] = vec4u(place(cell.x, cell.y, size, first), NONE, NONE, NONE);
    weights[point] = vec4f(weight, 0.0, 0.0, 0.0);
  } else {
    let spot = clamp(location * vec2f(size) - 0.5, vec2f(-1.0), vec2f(size));
    let corner = floor(spot);
    let near = spot - corner;
    let far = 1.0 - near;
    let x = i32(corner.x);
    let y = i32(corner.y);
    places[point] = vec4u(
      place(x, y, size, first),
      place(x + 1, y, size, first),
      place(x, y + 1, size, first),
      place(x + 1, y + 1, size, first),
    );
    weights[point] = weight * vec4f(far.x * far.y, near.x * far.y, far.x * near.y, near.x * near.y);
  }
}
