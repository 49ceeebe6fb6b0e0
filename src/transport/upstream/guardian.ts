import { type ChildProcess, spawn } from 'node:child_process'
import { killNow, POSIX } from './process-group.ts'

/**
 * Reads `+<group>` and `-<group>`, a line each. Its input ends when the process that writes there is gone, however that
 * came about; then it ends what is left. Constant text: nothing that comes from users gets into it, and what it reads must be a
 * number above 1, since `kill -- -1` would reach every process of this user. A torn last line makes `read` fail, so that
 * no half number counts. It ignores the signals that a service manager or a terminal sends to everybody: its work is yet to come.
 */
const POSIX_SCRIPT = `
trap '' HUP INT QUIT TERM
groups=' '
while read -r line; do
  group=\${line#?}
  case $group in ''|0*|1|*[!0-9]*) continue ;; esac
  case $line in
    +*) groups="$groups$group " ;;
    -*) case $groups in *" $group "*) groups=\${groups%%" $group "*}' '\${groups#*" $group "} ;; esac ;;
  esac
done
all() {
  found=1
  for group in $groups; do kill -s "$1" -- "-$group" 2>/dev/null && found=0; done
  return $found
}
all TERM || exit 0
sleep 1
all 0 || exit 0
sleep 1
all KILL
`

const WINDOWS_SCRIPT = `
const { spawn } = require('node:child_process')
const pids = new Set()
let text = ''
process.stdin.setEncoding('latin1').on('data', data => {
  const lines = (text + data).split('\\n')
  text = lines.pop()
  for (const line of lines) {
    if (/^\\+\\d+$/.test(line)) pids.add(line.slice(1))
    else pids.delete(line.slice(1))
  }
}).on('end', () => {
  for (const pid of pids) spawn('taskkill', ['/pid', pid, '/T', '/F'], { stdio: 'ignore', windowsHide: true }).on('error', () => {})
})
`

/** How often a guardian that died is replaced before the next child needs one: whatever kills it may do so again. */
const REPLACEMENTS = 3

/**
 * Ends this process's children when it dies without a chance to do so itself (`kill -9`, out of memory). One helper process
 * in a session of its own, started with the first child; it neither keeps this process alive nor outlives it.
 */
class Guardian {
  readonly #groups = new Set<number>()
  #process: ChildProcess | undefined
  #replacements = 0
  #hooked = false

  /** Of the helper process, while there is one. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** To be called before a child is started, so that no child is ever without. */
  prepare(): void {
    if (!this.#hooked) {
      this.#hooked = true
      process.on('exit', () => {
        for (const group of this.#groups) killNow(group)
      })
    }
    this.#replacements = 0
    if (!this.#process) this.#start()
  }

  add(group: number): void {
    this.#groups.add(group)
    this.#write(`+${group}\n`)
  }

  /** Must follow at once when the group is gone: its number may soon belong to others. */
  remove(group: number): void {
    if (this.#groups.delete(group)) this.#write(`-${group}\n`)
  }

  #start(): void {
    const [command, args] = POSIX
      ? ['/bin/sh', ['-c', POSIX_SCRIPT, 'catflap-guardian']]
      : [process.execPath, ['-e', WINDOWS_SCRIPT]]
    const helper = spawn(command as string, args as string[], {
      // Neither our secrets nor our working directory: it may live on after us for a moment. PATH is for `sleep`.
      env: POSIX ? { PATH: `${process.env.PATH ?? ''}:/usr/bin:/bin` } : process.env,
      cwd: POSIX ? '/' : undefined,
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      windowsHide: true
    })
    this.#process = helper
    helper.on('error', error => this.#lost(helper, error))
    helper.on('exit', () => this.#lost(helper))
    // A helper that died shows as `exit`; a failed write says nothing more.
    helper.stdin?.on('error', () => {})
    helper.unref()
    const pipe = helper.stdin as (typeof helper.stdin & { unref?(): void }) | undefined
    pipe?.unref?.()
    for (const group of this.#groups) this.#write(`+${group}\n`)
  }

  #write(line: string): void {
    if (this.#process?.stdin?.writable) this.#process.stdin.write(line)
  }

  #lost(helper: ChildProcess, error?: Error): void {
    if (this.#process !== helper) return
    this.#process = undefined
    if (error) {
      const text = `children would outlive catflap if it were killed: no guardian process (${error.message})`
      process.emitWarning(text, { code: 'CATFLAP_NO_GUARDIAN' })
    } else if (this.#groups.size > 0 && this.#replacements++ < REPLACEMENTS) this.#start()
  }
}

/** One for the process: whichever component starts children, they end with it. */
export const guardian = new Guardian()
