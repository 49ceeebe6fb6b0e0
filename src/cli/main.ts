import { VERSION } from '../version.ts'
import { plainForwardArgs } from './plain-args.ts'
import { plainUsage, wrongUsage } from './usage.ts'

/** Only what the command needs is loaded. */
export async function main(args: readonly string[]): Promise<void> {
  // Whoever read our messages may go before we do (`2>&1 | head`): no fault, and nobody is left to be told.
  process.stderr.on('error', () => {})
  if (args.length === 1 && args[0] === '--version') return console.log(VERSION)
  const plain = plainForwardArgs(args)
  if (!plain) {
    const { commandLine } = await import('./command-line.ts')
    return await commandLine(args)
  }
  const { forward } = await import('./forward.ts')
  try {
    await forward(plain)
  } catch (error) {
    const { message } = error as Error
    wrongUsage(plainUsage(message), error as Error)
  }
}
