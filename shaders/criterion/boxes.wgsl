// L1 and GIoU losses of boxes (arXiv 1902.09630) and their gradient, pair by pair, weighted.
//
// A row of `line` holds the wanted box t (cx, cy, w, h), a weight that is not used here, those of L1 and GIoU, and one unused.
// With a the box, both as corners low and high, I = inside, U = union, H = the hull of both, per axis
//   inside = max(min(a_high, t_high) - max(a_low, t_low), 0)    hull = max(max(a_high, t_high) - min(a_low, t_low), 0)
//   U = A + T - I    iou = I / U    giou = iou - (H - U) / H
//   losses = (w1 sum |a - t|, w2 s (1 - giou), iou, giou), where s is 1, iou or giou as a constant
//   d giou = (1/U - c) dI + c dA - U/H^2 dH, c = 1/H - I/U^2
//   gradient = w1 sign(a - t) - w2 s d giou
// Ties follow torch: max and min of equal numbers share the gradient in halves, a clamp at its bound passes it, sign(0) = 0.
// No epsilon: a line without a target has a box with an area. One row a thread. Grid: x = ceil(rows / 64) folded into x and y, z = images.

struct Params {
  rows: u32,
  boxes_offset: u32,
  boxes_pitch: u32,
  boxes_batch: u32,
  line_offset: u32,
  line_pitch: u32,
  line_batch: u32,
  losses_offset: u32,
  losses_pitch: u32,
  losses_batch: u32,
  gradient_offset: u32,
  gradient_pitch: u32,
  gradient_batch: u32,
}

const SHARE: u32 = 0u; // specialise: 1 weights the GIoU loss with the iou, 2 with the giou

@group(0) @binding(0) var<storage, read> boxes: array<f32>;
@group(0) @binding(1) var<storage, read> line: array<f32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

// 1 where a is the larger, a half where both are equal.
fn share_of(a: vec2f, b: vec2f) -> vec2f {
  return select(select(vec2f(), vec2f(0.5), a == b), vec2f(1.0), a > b);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * 64u + local;
  if (row >= params.rows) { return; }
  let at = params.boxes_offset + group.z * params.boxes_batch + row * params.boxes_pitch;
  let to = params.line_offset + group.z * params.line_batch + row * params.line_pitch;
  let middle = vec2f(boxes[at], boxes[at + 1u]);
  let size = vec2f(boxes[at + 2u], boxes[at + 3u]);
  let t_middle = vec2f(line[to], line[to + 1u]);
  let t_size = vec2f(line[to + 2u], line[to + 3u]);
  let weight = vec2f(line[to + 5u], line[to + 6u]);

  let low = middle - 0.5 * size;
  let high = middle + 0.5 * size;
  let t_low = t_middle - 0.5 * t_size;
  let t_high = t_middle + 0.5 * t_size;
  let side = high - low;
  let t_side = t_high - t_low;
  let overlap = min(high, t_high) - max(low, t_low);
  let reach = max(high, t_high) - min(low, t_low);
  let inside = max(overlap, vec2f());
  let hull = max(reach, vec2f());
  let i = inside.x * inside.y;
  let u = side.x * side.y + t_side.x * t_side.y - i;
  let h = hull.x * hull.y;
  let iou = i / u;
  let giou = iou - (h - u) / h;

  let c = 1.0 / h - iou / u;
  let di = (1.0 / u - c) * inside.yx * select(vec2f(), vec2f(1.0), overlap >= vec2f());
  let da = c * side.yx;
  let dh = -u / (h * h) * hull.yx * select(vec2f(), vec2f(1.0), reach >= vec2f());
  let d_high = di * share_of(t_high, high) + da + dh * share_of(high, t_high);
  let d_low = -(di * share_of(low, t_low) + da + dh * share_of(t_low, low));

  var share = weight.y;
  if (SHARE == 1u) { share *= iou; }
  if (SHARE == 2u) { share *= giou; }
  let off_middle = abs(middle - t_middle);
  let off_size = abs(size - t_size);
  let out = params.losses_offset + group.z * params.losses_batch + row * params.losses_pitch;
  losses[out] = weight.x * (off_middle.x + off_middle.y + off_size.x + off_size.y);
  losses[out + 1u] = share * (1.0 - giou);
  losses[out + 2u] = iou;
  losses[out + 3u] = giou;
  let d_middle = weight.x * sign(middle - t_middle) - share * (d_low + d_high);
  let d_size = weight.x * sign(size - t_size) - share * (0.5 * (d_high - d_low));
  let back = params.gradient_offset + group.z * params.gradient_batch + row * params.gradient_pitch;
  gradient[back] = d_middle.x;
  gradient[back + 1u] = d_middle.y;
  gradient[back + 2u] = d_size.x;
  gradient[back + 3u] = d_size.y;
}
