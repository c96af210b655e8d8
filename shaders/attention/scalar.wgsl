// Attention with a row of scores at a time: y[query] = sum over keys j of softmax_j(q[query] . k[j] * scale + bias) * v[j].
//
// For every image and head; head h owns columns h * D .. h * D + D - 1 of q, k, v and y. The softmax runs online: a block of
// keys at a time, the sums so far rescaled whenever a larger score appears. Scores are finite: what may not be seen is
// masked by a large negative bias such as -1e9, and a query whose keys are all masked gives some finite value.
//
// Everything in scalars, one thread a query and head: the reference variant, and for heads of any size and tensors at any
// offset. Slow on purpose.
//
// Grid: x = ceil(queries / 32), y = heads, z = sequences (images, or windows of images).
//
// Hooks: locate says which row of which image token `index` of a sequence is; bias is added to a score. The graph compiler
// replaces their bodies: a mask reads `mask`, windows cut the sequences out of maps (src/ops/window-attention.ts).

const HEAD: u32 = 32u; // specialise: D

const NEVER = -3e38; // before the first score

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  scale: f32,
  q_offset: u32, // q, k, v, y in scalars
  q_pitch: u32, // from one row to the next
  q_batch: u32, // from one image to the next
  k_offset: u32,
  k_pitch: u32,
  k_batch: u32,
  v_offset: u32,
  v_pitch: u32,
  v_batch: u32,
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
  mask_offset: u32, // in scalars
  mask_pitch: u32, // from one query to the next; 0 where all queries share a row
  mask_head: u32, // from one head to the next; 0 where all heads share it
  mask_batch: u32,
  window: u32, // side of a window; this and the rest only for windows
  padding_offset: u32, // in scalars
  padding_pitch: u32,
  padding_batch: u32,
  shift: u32,
  map_height: u32,
  map_width: u32,
  windows_x: u32, // windows side by side, and below each other
  windows_y: u32,
}

@group(0) @binding(0) var<storage, read> q: array<f32>;
@group(0) @binding(1) var<storage, read> k: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> mask: array<f32>;
@group(0) @binding(5) var<storage, read> padding: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

// A token of a sequence: its row in its image. The rest is for windows: its cell in the table of relative positions, its
// region, what hides it as a key, and whether it lies in the map.
struct Token {
  image: u32,
  row: u32,
  cell: u32,
  region: u32,
  hidden: f32,
  inside: bool,
}

// hook
fn locate(sequence: u32, index: u32) -> Token { return Token(sequence, index, 0u, 0u, 0.0, true); }

// hook
fn bias(head: u32, query: Token, key: Token) -> f32 { return 0.0; }

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let sequence = group.z;
  let head = group.y;
  let index = group.x * 32u + local;
  if (index >= params.queries) {
    return;
  }
  let query = locate(sequence, index);
  let q_row = params.q_offset + query.image * params.q_batch + query.row * params.q_pitch + head * HEAD;
  var largest = NEVER;
  var sum = 0.0;
  var total: array<f32, HEAD>;
  for (var j = 0u; j < params.keys; j++) {
    let key = locate(sequence, j);
    let k_row = params.k_offset + key.image * params.k_batch + key.row * params.k_pitch + head * HEAD;
    let v_row = params.v_offset + key.image * params.v_batch + key.row * params.v_pitch + head * HEAD;
    var score = 0.0;
    for (var c = 0u; c < HEAD; c++) {
      score += q[q_row + c] * k[k_row + c];
    }
    score = score * params.scale + bias(head, query, key);
    let high = max(largest, score);
    let shrink = exp(largest - high);
    let weight = exp(score - high);
    largest = high;
    sum = sum * shrink + weight;
    for (var c = 0u; c < HEAD; c++) {
      total[c] = total[c] * shrink + weight * v[v_row + c];
    }
  }
  if (query.inside) {
    let to = params.y_offset + query.image * params.y_batch + query.row * params.y_pitch + head * HEAD;
    for (var c = 0u; c < HEAD; c++) {
      y[to + c] = total[c] / sum;
    }
  }
}
