// Joins the chunks of optimizer/norm.wgsl: the gradient's norm over all parameters, what to multiply it with, and whether the
// step may be taken at all.
//
//   norm = sqrt(sum of sums), factor = min(1, max_norm / (norm + 1e-6)) as torch.nn.utils.clip_grad_norm_, 1 without max_norm
//   bad  = smallest of the chunks' bad; where all are finite but the squares' sum is not, 0xfffffffe
//
// One workgroup: each thread adds every 256th chunk in turn, then a tree.

struct Status {
  norm: f32,
  factor: f32,
  bad: u32, // 0xffffffff: all is well
  unused: u32,
}

struct Params {
  chunks: u32,
  max_norm: f32, // 0: no clipping
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> bad: array<u32>;
@group(0) @binding(2) var<storage, read_write> status: Status;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> sum_of: array<f32, 256>;
var<workgroup> bad_of: array<u32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) local: u32) {
  var total = 0.0;
  var worst = 0xffffffffu;
  for (var i = local; i < params.chunks; i += 256u) {
    total += sums[i];
    worst = min(worst, bad[i]);
  }
  sum_of[local] = total;
  bad_of[local] = worst;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half /= 2u) {
    if (local < half) {
      sum_of[local] += sum_of[local + half];
      bad_of[local] = min(bad_of[local], bad_of[local + half]);
    }
    workgroupBarrier();
  }
  if (local == 0u) {
    let overflow = (bitcast<u32>(sum_of[0]) & 0x7f800000u) == 0x7f800000u;
    let norm = sqrt(sum_of[0]);
    status.norm = norm;
    status.factor = select(1.0, min(1.0, params.max_norm / (norm + 1e-6)), params.max_norm > 0.0);
    status.bad = select(bad_of[0], min(bad_of[0], 0xfffffffeu), overflow);
    status.unused = 0u;
  }
}
