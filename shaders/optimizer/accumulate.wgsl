// Gradient accumulation over the parts of a step, over a segment of the arenas.
//
//   trained, watched: total = g of the first part, total + g of the others
//   statistics:       total = keep before + share g, with the batch's own value g and before = p in the first part, total in the
//                     others: one part moves them after the other
//
// One vec4f a thread; groups as in optimizer/norm.wgsl. Grid: x = ceil(length / 256) folded into x and y.

struct Group {
  end: u32,
  shrink: f32,
  step_size: f32,
  kind: u32,
}

struct Params {
  base: u32,
  length: u32,
  keep: f32, // 1 - momentum of the batch norms
  share: f32, // their momentum
}

const FIRST: u32 = 0u; // specialise

@group(0) @binding(0) var<storage, read> g: array<vec4f>;
@group(0) @binding(1) var<storage, read> p: array<vec4f>;
@group(0) @binding(2) var<storage, read> groups: array<Group>;
@group(0) @binding(3) var<storage, read_write> total: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups_in: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups_in.x + group.x) * 64u + local;
  if (i * 4u >= params.length) { return; }
  var at = 0u;
  while (params.base + i * 4u >= groups[at].end) { at += 1u; }
  var before = total[i];
  if (FIRST == 1u) { before = select(vec4f(), p[i], groups[at].kind == 1u); }
  total[i] = select(before + g[i], params.keep * before + params.share * g[i], groups[at].kind == 1u);
}
