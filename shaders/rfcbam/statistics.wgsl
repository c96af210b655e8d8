// Maximum and mean over the channels of an expanded map, laid out as the shuffled map that spatial attention looks at:
//
//   y[image, K * row + i, K * column + j] = (max, mean) over c of g[image, row, column, (K * i + j) * C + c]
//
// g is the receptive-field expansion, K * K taps of C channels for every cell, tap by tap; its rows are dense. y: pairs.
//
// One tap of one cell a thread; sums of at most 64 Values are added to the total. Value is vec4f, or f32 where C is no multiple
// of 4. Grid: ceil(cells * K * K / 64) workgroups folded into x and y, z = images.

alias Value = vec4f;

const BLOCK = 64u;

struct Params {
  height: u32, // of g, in cells
  width: u32,
  side: u32, // K
  channels: u32, // C in Values
  scale: f32, // 1 / C
  g_offset: u32, // in Values
  g_pitch: u32,
  g_batch: u32,
  y_offset: u32, // in pairs
  y_pitch: u32, // from one pixel to the next
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> g: array<Value>;
@group(0) @binding(1) var<storage, read_write> y: array<vec2f>;
@group(0) @binding(2) var<uniform> params: Params;

// hook
fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }

// hook
fn largest(v: Value) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let taps = params.side * params.side;
  let cell = index / taps;
  if (cell >= params.height * params.width) { return; }
  let tap = index - cell * taps;
  let start = params.g_offset + group.z * params.g_batch + cell * params.g_pitch + tap * params.channels;
  var high = g[start];
  var sum = Value();
  for (var begin = 0u; begin < params.channels; begin += BLOCK) {
    var part = Value();
    for (var c = begin; c < min(begin + BLOCK, params.channels); c++) {
      let v = g[start + c];
      high = max(high, v);
      part += v;
    }
    sum += part;
  }
  let row = cell / params.width * params.side + tap / params.side;
  let column = cell % params.width * params.side + tap % params.side;
  y[params.y_offset + group.z * params.y_batch + (row * params.width * params.side + column) * params.y_pitch] =
    vec2f(largest(high), total(sum) * params.scale);
}
