// Stochastic gradient descent with momentum and decay in the gradient, as torch.optim.SGD, and the moving average of the
// parameters, over a segment of the arenas.
//
//   g = g * factor + wd p                        (factor: optimizer/clip.wgsl)
//   m = momentum m + g
//   p = p - lr m
//   average = d average + (1 - d) p
//
// Statistics move towards the batch's own value g, watched tensors are left alone, and nothing changes where the status says that
// a number is not finite: all as in optimizer/adamw.wgsl. One vec4f a thread. Grid: x = ceil(length / 256) folded into x and y.

struct Group {
  end: u32,
  decay: f32,
  rate: f32,
  kind: u32, // 0 trained, 1 statistics, 2 watched
}

struct Status {
  norm: f32,
  factor: f32,
  bad: u32,
  unused: u32,
}

struct Settings {
  momentum: f32,
  unused1: f32,
  unused2: f32,
  unused3: f32,
  unused4: f32,
  unused5: f32,
  keep: f32, // the average's d
  take: f32, // 1 - d
}

struct Params {
  base: u32,
  length: u32,
  keep: f32, // 1 - momentum of the batch norms; 0 where g is the accumulated next value
  share: f32, // their momentum; 1 there
}

const AVERAGE: u32 = 1u; // specialise

@group(0) @binding(0) var<storage, read> settings: Settings;
@group(0) @binding(1) var<storage, read> groups: array<Group>;
@group(0) @binding(2) var<storage, read> status: Status;
@group(0) @binding(3) var<storage, read> g: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> p: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> average: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

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
    let moved = settings.momentum * m[i] + (g[i] * status.factor + own.decay * p[i]);
    m[i] = moved;
    next = p[i] - own.rate * moved;
  }
  p[i] = next;
  if (AVERAGE == 1u) { average[i] = settings.keep * average[i] + settings.take * next; }
}
