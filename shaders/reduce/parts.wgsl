// The last stage of up to seven sums that were computed in parts: for tensor t and its element i
//
//   y_t[i] = sum over parts p of x[first_t + p * distance_t + i]
//
// in the order of the parts, 16 of them to a partial sum. All copies lie in one buffer; each result is one of its own, without
// gaps. Value is vec4f, or f32 where a length is no multiple of 4; lengths and offsets are in Values. A tensor that is not there
// has no elements.
//
// One Value a thread. Grid: ceil(end6 / 64) workgroups folded into x and y.

alias Value = vec4f;

const BLOCK = 16u;

struct Params {
  parts0: u32,
  first0: u32, // of x
  distance0: u32, // from one part's copy to the next
  end0: u32, // sums up to here, this tensor's included
  y0_offset: u32,
  parts1: u32,
  first1: u32,
  distance1: u32,
  end1: u32,
  y1_offset: u32,
  parts2: u32,
  first2: u32,
  distance2: u32,
  end2: u32,
  y2_offset: u32,
  parts3: u32,
  first3: u32,
  distance3: u32,
  end3: u32,
  y3_offset: u32,
  parts4: u32,
  first4: u32,
  distance4: u32,
  end4: u32,
  y4_offset: u32,
  parts5: u32,
  first5: u32,
  distance5: u32,
  end5: u32,
  y5_offset: u32,
  parts6: u32,
  first6: u32,
  distance6: u32,
  end6: u32,
  y6_offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read_write> y0: array<Value>;
@group(0) @binding(2) var<storage, read_write> y1: array<Value>;
@group(0) @binding(3) var<storage, read_write> y2: array<Value>;
@group(0) @binding(4) var<storage, read_write> y3: array<Value>;
@group(0) @binding(5) var<storage, read_write> y4: array<Value>;
@group(0) @binding(6) var<storage, read_write> y5: array<Value>;
@group(0) @binding(7) var<storage, read_write> y6: array<Value>;
@group(0) @binding(8) var<uniform> params: Params;

fn sum(parts: u32, at: u32, distance: u32) -> Value {
  var total = Value();
  for (var first = 0u; first < parts; first += BLOCK) {
    var some = Value();
    for (var p = first; p < min(first + BLOCK, parts); p++) { some += x[at + p * distance]; }
    total += some;
  }
  return total;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  if (index < params.end0) {
    let i = index;
    y0[params.y0_offset + i] = sum(params.parts0, params.first0 + i, params.distance0);
    return;
  }
  if (index < params.end1) {
    let i = index - params.end0;
    y1[params.y1_offset + i] = sum(params.parts1, params.first1 + i, params.distance1);
    return;
  }
  if (index < params.end2) {
    let i = index - params.end1;
    y2[params.y2_offset + i] = sum(params.parts2, params.first2 + i, params.distance2);
    return;
  }
  if (index < params.end3) {
    let i = index - params.end2;
    y3[params.y3_offset + i] = sum(params.parts3, params.first3 + i, params.distance3);
    return;
  }
  if (index < params.end4) {
    let i = index - params.end3;
    y4[params.y4_offset + i] = sum(params.parts4, params.first4 + i, params.distance4);
    return;
  }
  if (index < params.end5) {
    let i = index - params.end4;
    y5[params.y5_offset + i] = sum(params.parts5, params.first5 + i, params.distance5);
    return;
  }
  if (index < params.end6) {
    let i = index - params.end5;
    y6[params.y6_offset + i] = sum(params.parts6, params.first6 + i, params.distance6);
    return;
  }
}
