/**
 * What anybody may throw: values that themselves throw when they are looked at, or are no errors at all.
 */
function erring(property: string): Error {
  return Object.defineProperty(new Error('kept'), property, {
    get() {
      throw new Error(`no ${property}`);
    },
  });
}

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable(new Error('x'), {});
  revoke();
  return proxy;
}

/** Each made anew, by name. */
export const UNLOOKABLE: Readonly<Record<string, () => unknown>> = {
  'a revoked proxy': revoked,
  'a message that throws': () => erring('message'),
  'a name that throws': () => erring('name'),
  'a code that throws': () => erring('code'),
  'a cause that throws': () => erring('cause'),
  'errors that throw': () => erring('errors'),
  // With a stack that was made before: to make it may throw as well.
  'a name that is a symbol': () =>
    Object.defineProperties(new Error('kept'), { stack: { value: 'at home' }, name: { value: Symbol('name') } }),
  'a message that is no text': () => Object.defineProperty(new Error('x'), 'message', { value: Object.create(null) }),
  'a cause that is a proxy that was revoked': () => new Error('kept', { cause: revoked() }),
  'one of several with such a message': () =>
    new AggregateError([Object.defineProperty(new Error('x'), 'message', { value: Symbol('m') })], 'kept'),
};

/** Can be looked at, each in its way. */
export const ODD: Readonly<Record<string, () => unknown>> = {
  null: () => null,
  undefined: () => undefined,
  'a symbol': () => Symbol('s'),
  'a function': () => () => 1,
  'no prototype': () => Object.create(null),
  frozen: () => Object.freeze(new Error('kept')),
  'a toJSON that throws': () => ({
    toJSON() {
      throw new Error('no');
    },
  }),
  'causes in a ring': () => {
    const first = new Error('first');
    first.cause = new Error('second', { cause: first });
    return first;
  },
  'causes without an end': () => {
    let error = new Error('0');
    for (let depth = 1; depth < 20_000; depth += 1) error = new Error(String(depth), { cause: error });
    return error;
  },
  'fifty million characters': () => new Error('y'.repeat(50_000_000)),
};
