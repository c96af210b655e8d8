// Second stage of attention's gradient: for every key and head, from the queries' statistics (attention/gradient-queries.wgsl),
//
//   p[i] = exp(q[i] . k * scale + bias - largest[i]) * part[i]
//   dv = sum over queries i of p[i] * g[i],   dk = scale * sum over i of p[i] * (g[i] . v - mean[i]) * q[i]
//
// dk and dv lie in one array, dv_distance Values apart in every row. Queries outside the map (of windows that hang over its edge) have no
// result, so they give nothing.
//
// Heads, masks, windows and the two hooks are those of the forward (attention/scalar.wgsl). Value is vec4f, or f32 where a head is no
// multiple of 4; HEAD is a head's columns in Values. One key of one head a thread, in the order of the queries: no
// atomics. Grid: x = ceil(keys / 32), y = heads, z = sequences (images, or windows of images).

alias Value = vec4f;

const HEAD: u32 = 8u; // specialise

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
  dk_offset: u32,
  dk_pitch: u32,
  dk_batch: u32,
  dv_distance: u32, // from dk's columns to dv's
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
@group(0) @binding(6) var<storage, read> statistics: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> dk: array<Value>;
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

fn row_of_dk(token: Token, head: u32) -> u32 {
  return params.dk_offset + token.image * params.dk_batch + token.row * params.dk_pitch + head * HEAD;
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let sequence = group.z;
  let head = group.y;
  let index = group.x * 32u + local;
  if (index >= params.keys) { return; }
  let key = locate(sequence, index);
  if (!key.inside) { return; }
  let k_row = row_of_k(key, head);
  let v_row = row_of_v(key, head);
  var own: array<Value, HEAD>;
  var seen: array<Value, HEAD>;
  var d_key: array<Value, HEAD>;
  var d_value: array<Value, HEAD>;
  for (var c = 0u; c < HEAD; c++) {
    own[c] = k[k_row + c] * params.scale;
    seen[c] = v[v_row + c];
    d_key[c] = Value();
    d_value[c] = Value();
  }
  let first = (sequence * params.heads + head) * params.queries;
  for (var i = 0u; i < params.queries; i++) {
    let query = locate(sequence, i);
    let q_row = row_of_q(query, head);
    let g_row = row_of_g(query, head);
    var s = Value();
    var d = Value();
    for (var c = 0u; c < HEAD; c++) {
      s = fma(own[c], q[q_row + c], s);
      d = fma(seen[c], g[g_row + c], d);
    }
    let known = statistics[first + i];
    let weight = select(0.0, exp(total(s) + bias(head, query, key) - known.x) * known.y, query.inside);
    let change = weight * (total(d) - known.z);
    for (var c = 0u; c < HEAD; c++) {
      d_value[c] += g[g_row + c] * weight;
      d_key[c] += q[q_row + c] * change;
    }
  }
  let sink = row_of_dk(key, head);
  for (var c = 0u; c < HEAD; c++) {
    dk[sink + c] = d_key[c] * params.scale;
    dk[sink + params.dv_distance + c] = d_value[c];
  }
}
