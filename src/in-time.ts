/** The promise's value, or an error after `ms`. What is waited for goes on; how it ends then, nobody hears. */
export async function inTime<T>(promise: Promise<T>, ms: number, late: () => Error): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms)
  })
  try {
    return await Promise.race([promise, tooLate])
  } finally {
    clearTimeout(timer)
  }
}

/** The same, for as long as `progress` says something new every `ms`: what is slow is not dead. */
export async function whileItMoves<T>(
  promise: Promise<T>,
  ms: number,
  progress: () => number,
  late: Error
): Promise<T> {
  for (;;) {
    const before = progress()
    try {
      return await inTime(promise, ms, () => late)
    } catch (error) {
      if (error !== late || progress() === before) throw error
    }
  }
}
