"""Getting readings in: from MQTT to Kafka, acknowledged last."""
