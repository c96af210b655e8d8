// The matcher's cost of giving a query a target (DETR, arXiv 2005.12872; focal form of Deformable DETR, arXiv 2010.04159).
//
//   y[image, query, t] = boxes sum |a - b| + classes cost - giou GIoU(a, b)
//   cost = alpha (1 - p)^gamma (-log(p + 1e-8)) - (1 - alpha) p^gamma (-log(1 - p + 1e-8)), p = sigmoid(score of t's class)
//   cost = -score, where scores are probabilities already (PROBABILITY)
//
// Targets are lines of a table, box (cx, cy, w, h) first; their labels stand apart. y is dense. One pair a thread, targets
// fastest. Grid: x = ceil(queries * targets / 64) folded into x and y, z = images.

struct Params {
  queries: u32,
  targets: u32,
  box_cost: f32,
  class_cost: f32,
  giou_cost: f32,
  alpha: f32,
  gamma: f32,
  scores_offset: u32,
  scores_pitch: u32,
  scores_batch: u32,
  boxes_offset: u32,
  boxes_pitch: u32,
  boxes_batch: u32,
  lines_offset: u32,
  lines_pitch: u32,
  lines_batch: u32,
  labels_offset: u32,
  labels_pitch: u32,
  labels_batch: u32,
}

const PROBABILITY: u32 = 0u; // specialise
const SQUARE: u32 = 1u; // specialise: gamma is 2

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> boxes: array<f32>;
@group(0) @binding(2) var<storage, read> lines: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

fn power(p: f32) -> f32 {
  if (SQUARE == 1u) { return p * p; }
  return pow(p, params.gamma);
}

fn class_cost(score: f32) -> f32 {
  if (PROBABILITY == 1u) { return -score; }
  let e = exp(-abs(score));
  let larger = 1.0 / (1.0 + e);
  let smaller = e / (1.0 + e);
  let p = select(smaller, larger, score >= 0.0);
  let q = select(larger, smaller, score >= 0.0);
  return params.alpha * power(q) * -log(p + 1e-8) - (1.0 - params.alpha) * power(p) * -log(q + 1e-8);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let query = index / params.targets;
  if (query >= params.queries) { return; }
  let t = index % params.targets;
  let at = params.boxes_offset + group.z * params.boxes_batch + query * params.boxes_pitch;
  let to = params.lines_offset + group.z * params.lines_batch + t * params.lines_pitch;
  let a = vec4f(boxes[at], boxes[at + 1u], boxes[at + 2u], boxes[at + 3u]);
  let b = vec4f(lines[to], lines[to + 1u], lines[to + 2u], lines[to + 3u]);
  let a_low = a.xy - 0.5 * a.zw;
  let a_high = a.xy + 0.5 * a.zw;
  let b_low = b.xy - 0.5 * b.zw;
  let b_high = b.xy + 0.5 * b.zw;
  let inside = max(min(a_high, b_high) - max(a_low, b_low), vec2f());
  let hull = max(max(a_high, b_high) - min(a_low, b_low), vec2f());
  let a_side = a_high - a_low;
  let b_side = b_high - b_low;
  let i = inside.x * inside.y;
  let u = a_side.x * a_side.y + b_side.x * b_side.y - i;
  let h = hull.x * hull.y;
  let giou = i / u - (h - u) / h;
  let off = abs(a - b);
  let label = labels[params.labels_offset + group.z * params.labels_batch + t * params.labels_pitch];
  let score = scores[params.scores_offset + group.z * params.scores_batch + query * params.scores_pitch + label];
  let pair = params.box_cost * ((off.x + off.y) + (off.z + off.w)) - params.giou_cost * giou;
  y[group.z * params.queries * params.targets + index] = pair + params.class_cost * class_cost(score);
}
