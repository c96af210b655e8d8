// AdamW (arXiv 1711.05101) as torch.optim.AdamW, and the moving average of the parameters, over a segment of the arenas.
//
//   g = g * factor                               (factor: optimizer/clip.wgsl)
//   p = p * (1 - lr wd)                          shrink
//   m = beta1 m + (1 - beta1) g
//   v = beta2 v + (1 - beta2) g^2
//   p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
//   average = d average + (1 - d) p
//
// Statistics (running means and variances) are not trained: g holds the batch's own value, and p = keep p + share g. Watched tensors
// are left alone. Nothing changes at all where the status says that a number is not finite. All constants are worked out in float64 on
// the CPU. One vec4f a thread; groups as in optimizer/norm.wgsl. Grid: x = ceil(length / 256) folded into x and y.

struct Group {
  end: u32,
  shrink: f32,
  step_size: f32, // lr / (1 - beta1^t)
  kind: u32, // 0 trained, 1 statistics, 2 watched
}

struct Status {
  norm: f32,
  factor: f32,
  bad: u32,
  unused: u32,
}

struct Settings {
  beta1: f32,
  rest1: f32, // 1 - beta1
  beta2: f32,
  rest2: f32,
  root: f32, // sqrt(1 - beta2^t)
  eps: f32,
  keep: f32, // the average's d
  take: f32, // 1 - d
}

struct Params {
  base: u32,
  length: u32,
  keep: f32, // 1 - momentum of the batch norms; 0 where g is the accumulated next value
  share: f32, // the momentum; 1 there
}

const AVERAGE: u32 = 1u; // specialise

@group(0) @binding(0) var<storage, read> settings: Settings;
@group(0) @binding(1) var<storage, read> groups: array<Group>;
@group(0) @binding(2) var<storage, read> status: Status;
@group(0) @binding(3) var<storage, read> g: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> p: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> v: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> average: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups_in: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups_in.x + group.x) * 64u + local;
  if (i * 4u >= params.length || status.bad != 0xffffffffu) { return; }
  var at = 0u;
  while (params.base + i * 4u >= groups[at].end) { at += 1u; }
  let own = groups[at];
  if (own.kind == 2u) { return; }
  var next = params.keep * p[i] + params.share * g[i];
  if (own.kind == 0u) {
    let d = g[i] * status.factor;
    let first = settings.beta1 * m[i] + settings.rest1 * d;
    let second = settings.beta2 * v[i] + settings.rest2 * d * d;
    m[i] = first;
    v[i] = second;
    next = p[i] * own.shrink - own.step_size * (first / (sqrt(second) / settings.root + settings.eps));
  }
  p[i] = next;
  if (AVERAGE == 1u) { average[i] = settings.keep * average[i] + settings.take * next; }
}
