/** WGSL functions that pointwise expressions call and the language lacks, over `alias Value` (f32 or vec4f). */
export const wgslFunctions = /* wgsl */ `
// erf(x): x + x P(x^2) below 0.945, 1 - exp(-Q(|x|)) above; minimax fits, absolute error 9e-8 in float32.
fn erf(x: Value) -> Value {
  let s = x * x;
  let p = (((((8.22397997e-5 * s - 8.10808095e-4) * s + 5.19799162e-3) * s - 2.68581864e-2) * s + 1.12836741e-1) * s - 3.76126319e-1) * s + 1.28379166e-1;
  let t = min(abs(x), Value(4.0));
  let q = (((((((-1.60241767e-6 * t + 4.5353052e-5) * t - 5.90701355e-4) * t + 4.73021157e-3) * t - 2.63353232e-2) * t + 1.09924763e-1) * t + 6.31995797e-1) * t + 1.13013113) * t - 2.94188009e-4;
  let large = Value(1.0) - exp(-q);
  return select(select(large, -large, x < Value(0.0)), x + x * p, abs(x) < Value(0.945));
}

// tanh without its overflow at large arguments, and without cancellation at small ones.
fn stable_tanh(x: Value) -> Value {
  let t = min(abs(x), Value(15.0));
  let e = exp(-2.0 * t);
  let s = x * x;
  let small = x * (1.0 + s * (-0.333333343 + s * (0.133333340 + s * (-0.0539682545 + s * 0.0218694881))));
  let large = (1.0 - e) / (1.0 + e);
  return select(select(large, -large, x < Value(0.0)), small, t < Value(0.25));
}
// 1 / (1 + exp(-x)) without overflow: exp only of -|x|.
fn sigmoid(x: Value) -> Value {
  let e = exp(-abs(x));
  return select(Value(1.0), e, x < Value(0.0)) / (Value(1.0) + e);
}

// log(1 + exp(-|x|)); as 2 atanh(e / (2 + e)) where e = exp(-|x|) is small.
fn softplus_tail(x: Value) -> Value {
  let e = exp(-abs(x));
  let z = e / (e + Value(2.0));
  let s = z * z;
  return select(log(Value(1.0) + e), 2.0 * z * (1.0 + s * (0.333333343 + s * 0.2)), e < Value(0.125));
}
`;
