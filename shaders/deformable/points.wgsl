// Second stage: gradients of deformable attention with respect to offsets, weights and references from the points' `dots`.
//
//   A = softmax over all points of a head of logits;  (s, sx, sy) = dots[image, query, head * P + p]
//   d logits[p] = A[p] * (s[p] - sum over points k of A[k] * s[k]),   d location[p] = A[p] * (sx, sy)
//   d offsets[p] = d location[p] * d location / d offset:  offset_scale / points[l] * reference.wh, or 1 / (w, h) of the map
//   d reference, of one head and query: xy: sum over p of d location[p], wh: of d location[p] * offsets[p] * offset_scale / points[l]
//
// GIVEN: `offsets` are locations and `logits` are weights A, as they are: d logits = s, d offsets = d location.
// d reference is written with WITH_REFERENCE = 1: [image * query, head, its columns]; the heads are summed afterwards.
//
// One head of one query a thread: sums are in the order of the points. Small tensors in scalars, dots in vec4f; the outputs dense.
// Grid: x = ceil(queries * heads / 64) folded into x and y, z = images.

override GIVEN: bool = false;
override REFERENCE: u32 = 4u; // numbers a reference point has: 4 (x, y, w, h) or 2 (x, y)

const WITH_REFERENCE: u32 = 0u; // specialise

struct Params {
  queries: u32,
  heads: u32,
  levels: u32,
  points: u32, // of all levels together
  offset_scale: f32,
  reference_level: u32, // from one level's reference to the next: 0 where all share one
  reference_columns: u32,
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

@group(0) @binding(0) var<storage, read> dots: array<vec4f>;
@group(0) @binding(1) var<storage, read> offsets: array<f32>;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> reference: array<f32>;
@group(0) @binding(4) var<storage, read> levels: array<vec4u>;
@group(0) @binding(5) var<storage, read_write> d_offsets: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_logits: array<f32>;
@group(0) @binding(7) var<storage, read_write> d_reference: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = group.z;
  let index = (group.y * groups.x + group.x) * 64u + local;
  let query = index / params.heads;
  if (query >= params.queries) { return; }
  let head = index - query * params.heads;
  let offset = params.offsets_offset + image * params.offsets_batch + query * params.offsets_pitch + head * params.points * 2u;
  let logit = params.logits_offset + image * params.logits_batch + query * params.logits_pitch + head * params.points;
  let centre = params.reference_offset + image * params.reference_batch + query * params.reference_pitch;
  let first = (image * params.queries + query) * params.heads * params.points + head * params.points;
  let references = ((image * params.queries + query) * params.heads + head) * params.reference_columns;

  var largest = logits[logit];
  for (var p = 1u; p < params.points; p++) { largest = max(largest, logits[logit + p]); }
  var sum = 0.0;
  var pulled = 0.0;
  for (var p = 0u; p < params.points; p++) {
    let weight = exp(logits[logit + p] - largest);
    sum += weight;
    pulled = fma(weight, dots[first + p].x, pulled);
  }
  let mean = pulled / sum;
  var p = 0u;
  var box = vec4f(); // gradient of the reference so far
  for (var l = 0u; l < params.levels; l++) {
    let level = levels[l];
    let at = centre + l * params.reference_level;
    for (var i = 0u; i < level.w; i++) {
      let d = dots[first + p];
      let to = 2u * (first + p);
      if (GIVEN) {
        d_logits[first + p] = d.x;
        d_offsets[to] = logits[logit + p] * d.y;
        d_offsets[to + 1u] = logits[logit + p] * d.z;
      } else {
        let weight = exp(logits[logit + p] - largest) / sum;
        let d_location = weight * d.yz;
        d_logits[first + p] = weight * (d.x - mean);
        var slope = 1.0 / vec2f(vec2u(level.y, level.x));
        if (REFERENCE == 4u) {
          let part = params.offset_scale / f32(level.w);
          slope = part * vec2f(reference[at + 2u], reference[at + 3u]);
          box += vec4f(d_location, d_location * part * vec2f(offsets[offset + 2u * p], offsets[offset + 2u * p + 1u]));
        } else {
          box += vec4f(d_location, 0.0, 0.0);
        }
        d_offsets[to] = d_location.x * slope.x;
        d_offsets[to + 1u] = d_location.y * slope.y;
      }
      p++;
    }
    let done = (params.reference_level > 0u) | (l + 1u == params.levels);
    if ((WITH_REFERENCE == 1u) & done) {
      let sink = references + l * params.reference_level;
      d_reference[sink] = box.x;
      d_reference[sink + 1u] = box.y;
      if (REFERENCE == 4u) {
        d_reference[sink + 2u] = box.z;
        d_reference[sink + 3u] = box.w;
      }
      box = vec4f();
    }
  }
}
