// First stage of deformable attention's gradients with respect to offsets, weights and references: what each sampling point's
// four cells contribute to <g, y>.
//
//   dots[image, query, head * P + p] = (s, ds/dx, ds/dy, 0),  s = sum over channels c of g[query, head, c] * sample(location[p])[c]
//
// with coordinates x, y from 0 to 1, as in deformable/deformable.wgsl, whose locations and cells these are. DISCRETE samples have
// no slope: ds/dx = ds/dy = 0.
//
// One sampling point of one head and query a thread, points fastest. Value is vec4f, or f32 where channels are no multiple of 4;
// value and g in Value, the small tensors in scalars, dots in vec4f. Grid: x = ceil(queries * heads * points / 64) folded into x
// and y, z = images.

alias Value = vec4f;

override DISCRETE: bool = false;
override GIVEN: bool = false;
override REFERENCE: u32 = 4u; // numbers a reference point has: 4 (x, y, w, h) or 2 (x, y)

struct Params {
  queries: u32,
  heads: u32,
  channels: u32, // of a head, in Values
  levels: u32,
  points: u32, // of all levels together
  offset_scale: f32,
  reference_level: u32, // from one level's reference to the next: 0 where all share one
  value_offset: u32,
  value_pitch: u32, // in Values, from one row to the next
  value_batch: u32, // from one image to the next
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  offsets_offset: u32, // from here on in scalars
  offsets_pitch: u32,
  offsets_batch: u32,
  reference_offset: u32,
  reference_pitch: u32,
  reference_batch: u32,
}

@group(0) @binding(0) var<storage, read> value: array<Value>;
@group(0) @binding(1) var<storage, read> offsets: array<f32>;
@group(0) @binding(2) var<storage, read> reference: array<f32>;
@group(0) @binding(3) var<storage, read> levels: array<vec4u>;
@group(0) @binding(4) var<storage, read> g: array<Value>;
@group(0) @binding(5) var<storage, read_write> dots: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

// hook
fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }

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

// <g, value> of the cell (x, y), or zero outside the map. `first`: the map's first cell.
fn dot_cell(x: i32, y: i32, size: vec2i, first: u32, upstream: u32) -> f32 {
  let inside = (x >= 0) & (y >= 0) & (x < size.x) & (y < size.y);
  let cell = first + u32(clamp(y, 0, size.y - 1) * size.x + clamp(x, 0, size.x - 1)) * params.value_pitch;
  var sum = Value();
  for (var c = 0u; c < params.channels; c++) { sum = fma(value[cell + c], g[upstream + c], sum); }
  return select(0.0, total(sum), inside);
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
  let first = params.value_offset + image * params.value_batch + level.z * params.value_pitch + head * params.channels;
  let upstream = params.g_offset + image * params.g_batch + query * params.g_pitch + head * params.channels;
  var result = vec4f();
  if (DISCRETE) {
    let cell = vec2i(clamp(location * vec2f(size) + 0.5, vec2f(0.0), vec2f(f32(size.y) - 1.0)));
    result.x = dot_cell(cell.x, cell.y, size, first, upstream);
  } else {
    let raw = location * vec2f(size) - 0.5;
    let place = clamp(raw, vec2f(-1.0), vec2f(size));
    // Moved to the edge of what the map reaches, a sample would get that edge's slope.
    let reached = (raw.x >= -1.0) & (raw.y >= -1.0);
    let corner = floor(place);
    let near = place - corner;
    let x = i32(corner.x);
    let y = i32(corner.y);
    let d00 = dot_cell(x, y, size, first, upstream);
    let d10 = dot_cell(x + 1, y, size, first, upstream);
    let d01 = dot_cell(x, y + 1, size, first, upstream);
    let d11 = dot_cell(x + 1, y + 1, size, first, upstream);
    let far = 1.0 - near;
    result.x = d00 * far.x * far.y + d10 * near.x * far.y + d01 * far.x * near.y + d11 * near.x * near.y;
    result.y = select(0.0, ((d10 - d00) * far.y + (d11 - d01) * near.y) * f32(size.x), reached);
    result.z = select(0.0, ((d01 - d00) * far.x + (d11 - d10) * near.x) * f32(size.y), reached);
  }
  dots[(image * params.queries + query) * all + column] = result;
}
