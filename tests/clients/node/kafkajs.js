// kafkajs: what ../main.rs asks of every client, and what ../managing.rs asks.

const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require("kafkajs")

const [what, servers, topic, codecs] = process.argv.slice(2)
const kafka = new Kafka({ clientId: "kafkajs", brokers: servers.split(","), logLevel: logLevel.ERROR })
const admin = kafka.admin()
const compression = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP }

const partitions = async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length
const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
const retention = async () => {
    const described = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] })
    return described.resources[0].configEntries.find((entry) => entry.configName === "retention.ms").configValue
}
const offsets = async () => (await admin.fetchTopicOffsets(topic)).find((one) => one.partition === 0)

async function produce(codec, mode, count) {
    const producer = kafka.producer({ idempotent: mode === "idempotent" })
    await producer.connect()
    const told = []
    for (let number = 0; number < count; number++) {
        const value = `${codec} ${mode} ${number} ` + "x".repeat(200)
        const message = { partition: 0, key: "key", value, headers: { header: "value" } }
        const [sent] = await producer.send({ topic, acks: -1, compression: compression[codec], messages: [message] })
        told.push(sent.baseOffset)
    }
    await producer.disconnect()
    return told
}

// It reads in a group only.
async function consume(count) {
    const consumer = kafka.consumer({ groupId: "kafkajs" })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const lines = []
    await new Promise((done, fail) => {
        const eachMessage = async ({ message }) => {
            const value = message.value.toString().replace(/x+$/, "").trim()
            const [[header, content]] = Object.entries(message.headers)
            lines.push(`read ${message.offset} ${message.key} ${header} ${content} ${value}`)
            if (lines.length === count) done()
        }
        consumer.run({ eachMessage }).catch(fail)
    })
    await consumer.disconnect()
    lines.forEach((line) => console.log(line))
}

async function client() {
    console.log("listed", ...(await admin.listTopics()).sort())
    const configEntries = [{ name: "retention.ms", value: "123456" }]
    await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1, configEntries }] })
    console.log("created", await partitions())
    const all = codecs.split(",")
    for (const codec of all) {
        for (const mode of ["plain", "idempotent"]) {
            console.log("acked", codec, mode, ...(await produce(codec, mode, 3)))
        }
    }
    await consume(6 * all.length)
    const { low, high } = await offsets()
    console.log("offsets", low, high)
    console.log("config", await retention())
}

async function manage() {
    await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] })
    await admin.createPartitions({ topicPartitions: [{ topic, count: 4 }] })
    console.log("partitions", await partitions())
    const configEntries = [{ name: "retention.ms", value: "654321" }]
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] })
    console.log("config", await retention())
    console.log("nodes", (await admin.describeCluster()).brokers.length)
    await produce("none", "plain", 5)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "3" }] })
    const { low, high } = await offsets()
    console.log("records", low, high)
    await admin.deleteTopics({ topics: [topic] })
}

async function main() {
    await admin.connect()
    await (what === "manage" ? manage() : client())
    await admin.disconnect()
}

main().catch((error) => {
    console.error(error)
    process.exitCode = 1
})
