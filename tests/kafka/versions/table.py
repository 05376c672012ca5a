"""The results as a table in Markdown."""


def markdown(rows):
    columns = list(rows[0][1])
    lines = [["Kafka", "with", *columns], ["---"] * (len(columns) + 2)]
    for version, cells in rows:
        lines.append([version.name, kind(version), *(cells[column].text for column in columns)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def kind(version):
    nodes = "1 node" if version.nodes == 1 else f"{version.nodes} nodes"
    return f"{'ZooKeeper' if version.has_zookeeper else 'KRaft'}, {nodes}"
