/**
 * Writes lines until the reader has gone (`catflap forward … | true`, a client that closes our stderr). That is no fault, and
 * nobody is left to be told: from then on lines are dropped.
 */
export function lineWriter(stream: NodeJS.WritableStream): (line: string) => void {
  let gone = false
  stream.on('error', () => {
    gone = true
  })
  return line => {
    if (!gone) stream.write(line)
  }
}
