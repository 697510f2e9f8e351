// Makes calls with a Node SDK, as a program would: `node send.cjs PACKAGE`, with the task as JSON on stdin.
const { readFileSync } = require('node:fs')
const { Analytics } = require(process.argv[2])

const task = JSON.parse(readFileSync(0, 'utf8'))
const analytics = new Analytics({ writeKey: task.writeKey, ...task.options })

analytics.on('error', ({ code, reason }) => {
  process.exitCode = 1
  console.error('the SDK gave up:', code, reason)
})

for (const { type, ...message } of task.calls) analytics[type](message)
analytics.closeAndFlush({ timeout: 60_000 })
