// First stage of attention's gradient, with nothing kept of the forward: for every query and head
//
//   score[j] = q . k[j] * scale + bias,  p = softmax of the scores,  d[j] = g . v[j],  mean = sum over keys j of p[j] * d[j]
//   dq = scale * sum over j of p[j] * (d[j] - mean) * k[j]
//
// and statistics[sequence, head, query] = (largest score, 1 / sum of exp(score - largest), mean, 0) for the second stage
// (attention/gradient-keys.wgsl). Two passes over the keys: the first finds the statistics online, as the forward does.
//
// Heads, masks, windows and the two hooks are those of the forward (attention/scalar.wgsl). Value is vec4f, or f32 where a head is no
// multiple of 4; HEAD is a head's columns in Values. One query of one head a thread, in the order of the keys; lanes
// of a workgroup read the same key. Grid: x = ceil(queries / 32), y = heads, z = sequences (images, or windows of images).

alias Value = vec4f;

const HEAD: u32 = 8u; // specialise

const NEVER = -3e38; // before the first score

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  scale: f32,
  q_offset: u32, // q, k, v, g and the gradients in Values
  q_pitch: u32, // from one row to the next
  q_batch: u32, // from one image to the next
  k_offset: u32,
  k_pitch: u32,
  k_batch: u32,
  v_offset: u32,
  v_pitch: u32,
  v_batch: u32,
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  dq_offset: u32,
  dq_pitch: u32,
  dq_batch: u32,
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

@group(0) @binding(0) var<storage, read> q: array<Value>;
@group(0) @binding(1) var<storage, read> k: array<Value>;
@group(0) @binding(2) var<storage, read> v: array<Value>;
@group(0) @binding(3) var<storage, read> g: array<Value>;
@group(0) @binding(4) var<storage, read> mask: array<f32>;
@group(0) @binding(5) var<storage, read> padding: array<f32>;
@group(0) @binding(6) var<storage, read_write> dq: array<Value>;
@group(0) @binding(7) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

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

// hook
fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }

fn row_of_q(token: Token, head: u32) -> u32 {
  return params.q_offset + token.image * params.q_batch + token.row * params.q_pitch + head * HEAD;
}

fn row_of_k(token: Token, head: u32) -> u32 {
  return params.k_offset + token.image * params.k_batch + token.row * params.k_pitch + head * HEAD;
}

fn row_of_v(token: Token, head: u32) -> u32 {
  return params.v_offset + token.image * params.v_batch + token.row * params.v_pitch + head * HEAD;
}

fn row_of_g(token: Token, head: u32) -> u32 {
  return params.g_offset + token.image * params.g_batch + token.row * params.g_pitch + head * HEAD;
}

fn row_of_dq(token: Token, head: u32) -> u32 {
  return params.dq_offset + token.image * params.dq_batch + token.row * params.dq_pitch + head * HEAD;
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let sequence = group.z;
  let head = group.y;
  let index = group.x * 32u + local;
  if (index >= params.queries) { return; }
  let query = locate(sequence, index);
  let q_row = row_of_q(query, head);
  let g_row = row_of_g(query, head);
  var own: array<Value, HEAD>;
  var upstream: array<Value, HEAD>;
  var result: array<Value, HEAD>;
  for (var c = 0u; c < HEAD; c++) {
    own[c] = q[q_row + c] * params.scale;
    upstream[c] = g[g_row + c];
    result[c] = Value();
  }
  var largest = NEVER;
  var sum = 0.0;
  var pulled = 0.0;
  for (var j = 0u; j < params.keys; j++) {
    let key = locate(sequence, j);
    let k_row = row_of_k(key, head);
    let v_row = row_of_v(key, head);
    var s = Value();
    var d = Value();
    for (var c = 0u; c < HEAD; c++) {
      s = fma(own[c], k[k_row + c], s);
      d = fma(upstream[c], v[v_row + c], d);
    }
    let score = total(s) + bias(head, query, key);
    let high = max(largest, score);
    let shrink = exp(largest - high);
    let weight = exp(score - high);
    largest = high;
    sum = sum * shrink + weight;
    pulled = pulled * shrink + weight * total(d);
  }
  let mean = pulled / sum;
  let part = 1.0 / sum;
  for (var j = 0u; j < params.keys; j++) {
    let key = locate(sequence, j);
    let k_row = row_of_k(key, head);
    let v_row = row_of_v(key, head);
    var s = Value();
    var d = Value();
    for (var c = 0u; c < HEAD; c++) {
      s = fma(own[c], k[k_row + c], s);
      d = fma(upstream[c], v[v_row + c], d);
    }
    let change = exp(total(s) + bias(head, query, key) - largest) * part * (total(d) - mean);
    for (var c = 0u; c < HEAD; c++) { result[c] += k[k_row + c] * change; }
  }
  statistics[(sequence * params.heads + head) * params.queries + index] = vec4f(largest, part, mean, 0.0);
  if (query.inside) {
    let sink = row_of_dq(query, head);
    for (var c = 0u; c < HEAD; c++) { dq[sink + c] = result[c] * params.scale; }
  }
}
