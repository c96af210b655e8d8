// Attention with tiles of keys in workgroup memory: y[query] = sum over keys j of softmax_j(q[query] . k[j] * scale + bias) * v[j].
//
// For every image and head; head h owns columns h * D .. h * D + D - 1 of q, k, v and y. The softmax runs online: a tile of
// 32 keys at a time, the sums so far rescaled whenever a larger score appears. Scores are finite: what may not be seen is
// masked by a large negative bias such as -1e9, and a query whose keys are all masked gives some finite value.
//
// D is a multiple of 4 and at most 64, everything in vec4f. This variant is for real GPUs. A workgroup takes 16 queries of a
// head; keys and values share one tile. 64 threads compute 16 x 32 scores (2 queries x 4 keys each), then four threads a
// query turn scores into weights, then all sum values: COLUMNS threads lie along a row of y, and each has the rows
// local / COLUMNS + i * 64 / COLUMNS. Workgroup memory: 32 * D * 4 + 16 * D * 4 + 2.3 KiB, 14.3 KiB at D = 64.
//
// Grid: x = ceil(queries / 16), y = heads, z = sequences (images, or windows of images).
//
// Hooks: locate says which row of which image token `index` of a sequence is; bias is added to a score. The graph compiler
// replaces their bodies: a mask reads `mask`, windows cut the sequences out of maps (src/ops/window-attention.ts).

const HEAD4: u32 = 8u; // specialise: D / 4
const COLUMNS: u32 = 8u; // specialise: the power of two not below HEAD4

const NEVER = -3e38; // the score of keys past the last one
const ROWS = max(1u, COLUMNS / 4u); // rows of y a thread sums
const STEP = 64u / COLUMNS; // between them

struct Params {
  queries: u32,
  keys: u32,
  heads: u32,
  scale: f32,
  q_offset: u32, // q, k, v, y in vec4f
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

@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> k: array<vec4f>;
@group(0) @binding(2) var<storage, read> v: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
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

var<workgroup> q_tile: array<vec4f, 16u * HEAD4>;
var<workgroup> kv_tile: array<vec4f, 32u * HEAD4>; // keys, then values
var<workgroup> scores: array<vec4f, 16u * 8u>; // [query][key / 4]
var<workgroup> shrink: array<f32, 16>; // what the sums so far are scaled by
var<workgroup> part: array<f32, 64>;

// Rows of 32 keys or values into the tile; rows past the last key repeat it.
fn load_keys(sequence: u32, start: u32, head: u32, local: u32) {
  for (var i = local; i < 32u * HEAD4; i += 64u) {
    let key = locate(sequence, min(start + i / HEAD4, params.keys - 1u));
    kv_tile[i] = k[params.k_offset + key.image * params.k_batch + key.row * params.k_pitch + head * HEAD4 + i % HEAD4];
  }
}

fn load_values(sequence: u32, start: u32, head: u32, local: u32) {
  for (var i = local; i < 32u * HEAD4; i += 64u) {
    let key = locate(sequence, min(start + i / HEAD4, params.keys - 1u));
    kv_tile[i] = v[params.v_offset + key.image * params.v_batch + key.row * params.v_pitch + head * HEAD4 + i % HEAD4];
  }
}

fn score(sum: f32, head: u32, query: Token, sequence: u32, index: u32) -> f32 {
  let key = locate(sequence, min(index, params.keys - 1u));
  return select(NEVER, sum * params.scale + bias(head, query, key), index < params.keys);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let sequence = group.z;
  let head = group.y;
  let first = group.x * 16u;
  let last_query = params.queries - 1u;
  for (var i = local; i < 16u * HEAD4; i += 64u) {
    let query = locate(sequence, min(first + i / HEAD4, last_query));
    q_tile[i] = q[params.q_offset + query.image * params.q_batch + query.row * params.q_pitch + head * HEAD4 + i % HEAD4];
  }
  // Scores: queries row, row + 1, keys 4 * quad .. 4 * quad + 3 of the tile.
  let row = local / 8u * 2u;
  let quad = local % 8u;
  let query0 = locate(sequence, min(first + row, last_query));
  let query1 = locate(sequence, min(first + row + 1u, last_query));
  // Weights: a quarter of query `line`'s scores. The four threads of a line keep the same largest score and sum.
  let line = local / 4u;
  let quarter = local % 4u;
  var largest = NEVER;
  var sum = 0.0;
  // Sums: column and rows of y.
  let column = min(local % COLUMNS, HEAD4 - 1u);
  let y_row = local / COLUMNS;
  var total: array<vec4f, ROWS>;

  for (var start = 0u; start < params.keys; start += 32u) {
    load_keys(sequence, start, head, local);
    workgroupBarrier();
    var s0 = vec4f();
    var s1 = vec4f();
    for (var c = 0u; c < HEAD4; c++) {
      let a0 = q_tile[row * HEAD4 + c];
      let a1 = q_tile[(row + 1u) * HEAD4 + c];
      let b0 = kv_tile[(quad * 4u + 0u) * HEAD4 + c];
      let b1 = kv_tile[(quad * 4u + 1u) * HEAD4 + c];
      let b2 = kv_tile[(quad * 4u + 2u) * HEAD4 + c];
      let b3 = kv_tile[(quad * 4u + 3u) * HEAD4 + c];
      s0 += vec4f(dot(a0, b0), dot(a0, b1), dot(a0, b2), dot(a0, b3));
      s1 += vec4f(dot(a1, b0), dot(a1, b1), dot(a1, b2), dot(a1, b3));
    }
    let key = start + quad * 4u;
    scores[row * 8u + quad] = vec4f(
      score(s0.x, head, query0, sequence, key),
      score(s0.y, head, query0, sequence, key + 1u),
      score(s0.z, head, query0, sequence, key + 2u),
      score(s0.w, head, query0, sequence, key + 3u),
    );
    scores[(row + 1u) * 8u + quad] = vec4f(
      score(s1.x, head, query1, sequence, key),
      score(s1.y, head, query1, sequence, key + 1u),
      score(s1.z, head, query1, sequence, key + 2u),
      score(s1.w, head, query1, sequence, key + 3u),
    );
    workgroupBarrier();

    load_values(sequence, start, head, local);
    let w0 = scores[line * 8u + quarter * 2u];
    let w1 = scores[line * 8u + quarter * 2u + 1u];
    let m = max(w0, w1);
    part[local] = max(max(m.x, m.y), max(m.z, m.w));
    workgroupBarrier();
    let high = max(largest, max(max(part[line * 4u], part[line * 4u + 1u]), max(part[line * 4u + 2u], part[line * 4u + 3u])));
    let e0 = exp(w0 - high);
    let e1 = exp(w1 - high);
    let less = exp(largest - high);
    scores[line * 8u + quarter * 2u] = e0;
    scores[line * 8u + quarter * 2u + 1u] = e1;
    sum = fma(sum, less, dot(e0 + e1, vec4f(1.0))); // of this quarter
    largest = high;
    if (quarter == 0u) { shrink[line] = less; }
    workgroupBarrier();
    for (var i = 0u; i < ROWS; i++) {
      let r = min(y_row + i * STEP, 15u);
      var t = total[i] * shrink[r];
      for (var j = 0u; j < 8u; j++) {
        let p = scores[r * 8u + j];
        t = fma(vec4f(p.x), kv_tile[(j * 4u + 0u) * HEAD4 + column], t);
        t = fma(vec4f(p.y), kv_tile[(j * 4u + 1u) * HEAD4 + column], t);
        t = fma(vec4f(p.z), kv_tile[(j * 4u + 2u) * HEAD4 + column], t);
        t = fma(vec4f(p.w), kv_tile[(j * 4u + 3u) * HEAD4 + column], t);
      }
      total[i] = t;
    }
    workgroupBarrier();
  }
  part[local] = sum;
  workgroupBarrier();
  for (var i = 0u; i < ROWS; i++) {
    let r = y_row + i * STEP;
    let query = locate(sequence, min(first + r, last_query));
    if ((r < 16u) & (first + r <= last_query) & (local % COLUMNS < HEAD4) & query.inside) {
      let whole = (part[r * 4u] + part[r * 4u + 1u]) + (part[r * 4u + 2u] + part[r * 4u + 3u]);
      y[params.y_offset + query.image * params.y_batch + query.row * params.y_pitch + head * HEAD4 + column] = total[i] / whole;
    }
  }
}
