// The k largest scores of each image, largest first; equal scores by lower index. Any two runs give the same bits.
//
//   values[image, r], indices[image, r]  for rank r < k
//
// 1. Radix select: a score's bits become a u32 of the same order (order_of). Four passes over the scores, 8 bits each from the
//    top, count how many of the scores that agree with the digits found so far have each next digit, and so find the k-th
//    largest key and how many scores of just this key belong to the k.
// 2. Compaction: each thread walks a contiguous part of the scores; counts of the threads before it tell where its own go.
//    Equal keys are taken in the order of their indices.
// 3. Sort: a chosen score's rank is the number of chosen ones before it.
//
// Sums over threads or digits are plain loops over workgroup memory: fewer barriers, which software adapters pay dearly.
// Score s of an image lies at scores_offset + image * scores_batch + s * scores_step. Grid: x = images. k <= CAPACITY.

const CAPACITY: u32 = 512u; // specialise

struct Params {
  count: u32, // scores of an image
  k: u32,
  scores_offset: u32,
  scores_step: u32,
  scores_batch: u32,
  values_offset: u32,
  values_pitch: u32,
  values_batch: u32,
  indices_offset: u32,
  indices_pitch: u32,
  indices_batch: u32,
}

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

const THREADS = 256u;

var<workgroup> histogram: array<atomic<u32>, 256>;
var<workgroup> digits: u32; // of the k-th largest key, as far as they are known
var<workgroup> wanted: u32; // how many of the scores with these digits belong to the k
var<workgroup> larger: array<u32, 256>; // by thread: its scores above the k-th
var<workgroup> equal: array<u32, 256>; // by thread: its scores equal to the k-th
var<workgroup> chosen_key: array<u32, CAPACITY>;
var<workgroup> chosen_index: array<u32, CAPACITY>;

fn score_bits(image: u32, s: u32) -> u32 {
  return bitcast<u32>(scores[params.scores_offset + image * params.scores_batch + s * params.scores_step]);
}

// Order-preserving: negative numbers are flipped, positive ones moved above them; -0 counts as 0.
fn order_of(bits: u32) -> u32 {
  let b = select(bits, 0u, bits == 0x80000000u);
  return select(b | 0x80000000u, ~b, (b & 0x80000000u) != 0u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = group.x;
  if (local == 0u) {
    digits = 0u;
    wanted = params.k;
  }
  for (var pass_index = 0u; pass_index < 4u; pass_index++) {
    let shift = 24u - 8u * pass_index;
    atomicStore(&histogram[local], 0u);
    workgroupBarrier();
    let known = digits;
    let need = wanted;
    // Shifting by 32 is no shift: the first pass knows no digit.
    let mask = select(0xffffffffu << ((shift + 8u) & 31u), 0u, pass_index == 0u);
    for (var s = local; s < params.count; s += THREADS) {
      let key = order_of(score_bits(image, s));
      if ((key & mask) == known) { atomicAdd(&histogram[(key >> shift) & 255u], 1u); }
    }
    workgroupBarrier();
    var above = 0u;
    for (var d = local + 1u; d < 256u; d++) { above += atomicLoad(&histogram[d]); }
    // True of exactly one thread: that of the digit at which the count from above reaches what is needed.
    if ((above < need) & (above + atomicLoad(&histogram[local]) >= need)) {
      digits = known | (local << shift);
      wanted = need - above;
    }
    workgroupBarrier();
  }

  let kth = digits;
  let ties = wanted;
  let part = (params.count + THREADS - 1u) / THREADS;
  let first = min(local * part, params.count);
  let last = min(first + part, params.count);
  var my_larger = 0u;
  var my_equal = 0u;
  for (var s = first; s < last; s++) {
    let key = order_of(score_bits(image, s));
    my_larger += select(0u, 1u, key > kth);
    my_equal += select(0u, 1u, key == kth);
  }
  larger[local] = my_larger;
  equal[local] = my_equal;
  workgroupBarrier();
  var at = 0u;
  var tie = 0u;
  for (var t = 0u; t < local; t++) {
    at += larger[t];
    tie += equal[t];
  }
  for (var s = first; s < last; s++) {
    let key = order_of(score_bits(image, s));
    if (key > kth) {
      chosen_key[at] = key;
      chosen_index[at] = s;
      at++;
    } else if (key == kth) {
      if (tie < ties) {
        chosen_key[params.k - ties + tie] = key;
        chosen_index[params.k - ties + tie] = s;
      }
      tie++;
    }
  }
  workgroupBarrier();

  for (var i = local; i < params.k; i += THREADS) {
    let key = chosen_key[i];
    let index = chosen_index[i];
    var rank = 0u;
    for (var j = 0u; j < params.k; j++) {
      let other = chosen_key[j];
      rank += select(0u, 1u, (other > key) | ((other == key) & (chosen_index[j] < index)));
    }
    values[params.values_offset + image * params.values_batch + rank * params.values_pitch] = bitcast<f32>(score_bits(image, index));
    indices[params.indices_offset + image * params.indices_batch + rank * params.indices_pitch] = index;
  }
}
