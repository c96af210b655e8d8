// Multi-scale deformable attention: every query and head sums bilinear samples of several feature maps.
//
//   y[image, query, head * C + c] = sum over levels l and their points p of A[p] * bilinear(value of level l and this head, location[p])[c]
//   A = softmax over all points of all levels of logits[image, query, head * P + p]
//   location[p] = reference.xy + offsets[image, query, (head * P + p) * 2 + xy] / points[l] * reference.wh * offset_scale
//
// with P points in all, level after level; coordinates x, y run from 0 to 1 over a map. References of two numbers:
// location = reference + offset / (w, h). GIVEN: `offsets` are locations and `logits` are weights A, as they are.
//
// bilinear reads the four cells around (x * w - 0.5, y * h - 0.5) (align_corners = false); cells outside the map are zero.
// DISCRETE reads one cell, (x * w + 0.5, y * h + 0.5) truncated and both clamped to [0, h - 1]. That the column is clamped
// by the height is what RT-DETRv2 was trained with.
//
// value: [image, tokens, heads * C], the maps' cells one level after the other; levels: (h, w, first token, points) each.
// value and y in vec4f, the small tensors in scalars; where C is no multiple of 4 the same body runs with Value = f32.
//
// One thread an output Value: the lanes of a head read neighbouring Values of the same cells and repeat the small arithmetic.
// Grid: ceil(queries * heads * channels / 64) workgroups of 64, folded into x and y, z = images.

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
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
  offsets_offset: u32, // from here on in scalars
  offsets_pitch: u32,
  offsets_batch: u32,
  logits_offset: u32,
  logits_pitch: u32,
  logits_batch: u32,
  reference_offset: u32,
  reference_pitch: u32,
  reference_batch: u32,
}

@group(0) @binding(0) var<storage, read> value: array<Value>;
@group(0) @binding(1) var<storage, read> offsets: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> reference: array<f32>;
@group(0) @binding(4) var<storage, read> levels: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> y: array<Value>;
@group(0) @binding(6) var<uniform> params: Params;

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

// weight * value of the cell (x, y), or zero outside the map. `first`: the map's first cell.
fn cell(x: i32, y: i32, size: vec2i, first: u32, weight: f32) -> Value {
  let inside = (x >= 0) & (y >= 0) & (x < size.x) & (y < size.y);
  let row = u32(clamp(y, 0, size.y - 1) * size.x + clamp(x, 0, size.x - 1));
  return value[first + row * params.value_pitch] * select(0.0, weight, inside);
}

fn bilinear(location: vec2f, size: vec2i, first: u32) -> Value {
  // Beyond one cell from the map everything is zero: the clamp changes nothing and keeps the integers small.
  let at = clamp(location * vec2f(size) - 0.5, vec2f(-1.0), vec2f(size));
  let corner = floor(at);
  let near = at - corner;
  let x = i32(corner.x);
  let y = i32(corner.y);
  return cell(x, y, size, first, (1.0 - near.x) * (1.0 - near.y))
    + cell(x + 1, y, size, first, near.x * (1.0 - near.y))
    + cell(x, y + 1, size, first, (1.0 - near.x) * near.y)
    + cell(x + 1, y + 1, size, first, near.x * near.y);
}

fn discrete(location: vec2f, size: vec2i, first: u32) -> Value {
  let at = vec2i(clamp(location * vec2f(size) + 0.5, vec2f(0.0), vec2f(f32(size.y) - 1.0)));
  return cell(at.x, at.y, size, first, 1.0);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let image = group.z;
  let index = (group.y * groups.x + group.x) * 64u + local;
  let column = index % (params.heads * params.channels);
  let query = index / (params.heads * params.channels);
  let head = column / params.channels;
  if (query >= params.queries) {
    return;
  }
  let offset = params.offsets_offset + image * params.offsets_batch + query * params.offsets_pitch + head * params.points * 2u;
  let logit = params.logits_offset + image * params.logits_batch + query * params.logits_pitch + head * params.points;
  let centre = params.reference_offset + image * params.reference_batch + query * params.reference_pitch;
  let base = params.value_offset + image * params.value_batch + column;

  var largest = logits[logit];
  for (var p = 1u; p < params.points; p++) {
    largest = max(largest, logits[logit + p]);
  }
  var sum = 0.0;
  var total = Value();
  var p = 0u;
  for (var l = 0u; l < params.levels; l++) {
    let level = levels[l];
    let size = vec2i(vec2u(level.y, level.x));
    let first = base + level.z * params.value_pitch;
    for (var i = 0u; i < level.w; i++) {
      let shift = vec2f(offsets[offset + 2u * p], offsets[offset + 2u * p + 1u]);
      let location = locate(shift, centre + l * params.reference_level, vec2f(size), f32(level.w));
      let weight = select(exp(logits[logit + p] - largest), logits[logit + p], GIVEN);
      if (DISCRETE) {
        total += weight * discrete(location, size, first);
      } else {
        total += weight * bilinear(location, size, first);
      }
      sum += weight;
      p++;
    }
  }
  y[params.y_offset + image * params.y_batch + query * params.y_pitch + column] = total / select(sum, 1.0, GIVEN);
}
