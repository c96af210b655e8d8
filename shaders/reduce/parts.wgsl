// The last stage of sums that were computed in parts: for sum t of a table and its element i
//
//   y[at_t + i] = sum over parts p of x[first_t + p * distance_t + i]
//
// in the order of the parts, 16 of them to a partial sum. All copies lie in one buffer, and so do all results. A row of the table is
// (end, parts, first, distance, at), end being the number of elements up to here, this sum's included. Value is vec4f, or f32 where
// a length is no multiple of 4; lengths and places are in Values.
//
// One Value a thread, which looks its sum up by halving. Grid: ceil(total / 64) workgroups folded into x and y.

alias Value = vec4f;

const BLOCK = 16u;
const ROW = 5u;

struct Params {
  count: u32, // sums
  total: u32, // elements of all sums
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  if (index >= params.total) { return; }
  var low = 0u;
  var high = params.count - 1u;
  while (low < high) {
    let middle = (low + high) / 2u;
    if (index < table[middle * ROW]) { high = middle; } else { low = middle + 1u; }
  }
  let row = low * ROW;
  var start = 0u;
  if (low > 0u) { start = table[row - ROW]; }
  let i = index - start;
  let parts = table[row + 1u];
  let at = table[row + 2u] + i;
  let distance = table[row + 3u];
  var sum = Value();
  for (var first = 0u; first < parts; first += BLOCK) {
    var some = Value();
    for (var p = first; p < min(first + BLOCK, parts); p++) { some += x[at + p * distance]; }
    sum += some;
  }
  y[table[row + 4u] + i] = sum;
}
