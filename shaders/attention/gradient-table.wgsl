// Gradient of window attention's table of relative positions, one window at a time: for every entry of the table and head
//
//   dtable[sequence, entry * heads + head] = sum over pairs (query i, key j) at this relative position of p[i, j] * (g[i] . v[j] - mean[i])
//
// with p and mean from the queries' statistics (attention/gradient-queries.wgsl). entry = (yi - yj + w - 1) * (2 w - 1) + xi - xj + w - 1;
// the pairs are walked by the query's row and column. Windows are added afterwards, in their order (reduce/rows.wgsl).
//
// Heads, masks, windows and the two hooks are those of the forward (attention/scalar.wgsl). Value is vec4f, or f32 where a head is no
// multiple of 4; HEAD is a head's columns in Values. One entry of one head a thread.
// Grid: x = ceil((2 w - 1)^2 / 32), y = heads, z = sequences (windows of images).

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
@group(0) @binding(7) var<storage, read_write> dtable: array<f32>;
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

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let sequence = group.z;
  let head = group.y;
  let entry = group.x * 32u + local;
  let side = 2u * params.window - 1u;
  if (entry >= side * side) { return; }
  // From the key to the query, plus w - 1.
  let step = vec2u(entry / side, entry % side);
  let w = params.window;
  let low = max(step, vec2u(w - 1u)) - (w - 1u); // first row and column of a query with such a key
  let high = min(step, vec2u(w - 1u)) + 1u; // behind the last
  let first = (sequence * params.heads + head) * params.queries;
  var sum = 0.0;
  for (var y = low.x; y < high.x; y++) {
    for (var x = low.y; x < high.y; x++) {
      let i = y * w + x;
      let j = (y + w - 1u - step.x) * w + x + w - 1u - step.y;
      let query = locate(sequence, i);
      let key = locate(sequence, j);
      let q_row = row_of_q(query, head);
      let k_row = row_of_k(key, head);
      let v_row = row_of_v(key, head);
      let g_row = row_of_g(query, head);
      var s = Value();
      var d = Value();
      for (var c = 0u; c < HEAD; c++) {
        s = fma(q[q_row + c] * params.scale, k[k_row + c], s);
        d = fma(g[g_row + c], v[v_row + c], d);
      }
      let known = statistics[first + i];
      let weight = exp(total(s) + bias(head, query, key) - known.x) * known.y;
      sum += select(0.0, weight * (total(d) - known.z), query.inside);
    }
  }
  dtable[(sequence * side * side + entry) * params.heads + head] = sum;
}
