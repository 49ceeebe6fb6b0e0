/** Hooks are other people's code: their promises may be of any make, and each may fail on its own. */

export function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

/**
 * What a hook makes of each item; a promise only if one of the results is. A call that throws counts as one that rejects:
 * otherwise nobody would listen to the promises of those before it.
 */
export function callEach<T, R>(items: readonly T[], hook: (item: T) => R | Promise<R>): R[] | Promise<R[]> {
  const results: (R | Promise<R>)[] = []
  let pending = false
  for (const item of items) {
    const result = called(item, hook)
    pending ||= isPromise(result)
    results.push(result)
  }
  return pending ? Promise.all(results) : (results as R[])
}

function called<T, R>(item: T, hook: (item: T) => R | Promise<R>): R | Promise<R> {
  try {
    return hook(item)
  } catch (error) {
    return Promise.reject(error)
  }
}
