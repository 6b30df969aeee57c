import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.File;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The work in Kafka Streams: one thread, moving means in a RocksDB store, its changelog in Kafka. */
public class Judge {
    static final ObjectMapper JSON = new ObjectMapper();
    static double alpha;
    static List<String> signs = new ArrayList<>();
    static List<double[]> cuts = new ArrayList<>();
    static List<int[]> points = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        JsonNode spec = JSON.readTree(new File(arguments[0]));
        alpha = spec.get("alpha").asDouble();
        for (Iterator<Map.Entry<String, JsonNode>> each = spec.get("signs").fields(); each.hasNext(); ) {
            Map.Entry<String, JsonNode> sign = each.next();
            signs.add(sign.getKey());
            cuts.add(JSON.convertValue(sign.getValue().get("cuts"), double[].class));
            points.add(JSON.convertValue(sign.getValue().get("points"), int[].class));
        }
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, spec.get("group").asText());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, spec.get("bootstrap").asText());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, spec.get("folder").asText());
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put("auto.offset.reset", "earliest");
        StreamsBuilder builder = new StreamsBuilder();
        builder.addStateStore(
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("means"), Serdes.String(), Serdes.ByteArray()));
        builder.stream(spec.get("input").asText(), Consumed.with(Serdes.String(), Serdes.ByteArray()))
            .processValues(Step::new, "means")
            .to(spec.get("output").asText(), Produced.with(Serdes.String(), Serdes.ByteArray()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    static class Step implements FixedKeyProcessor<String, byte[], byte[]> {
        private FixedKeyProcessorContext<String, byte[]> context;
        private KeyValueStore<String, byte[]> means;

        @Override
        public void init(FixedKeyProcessorContext<String, byte[]> given) {
            context = given;
            means = given.getStateStore("means");
        }

        @Override
        public void process(FixedKeyRecord<String, byte[]> record) {
            try {
                JsonNode bundle = JSON.readTree(record.value());
                byte[] kept = means.get(record.key());
                ByteBuffer old = kept == null ? null : ByteBuffer.wrap(kept);
                ByteBuffer moved = ByteBuffer.allocate(8 * signs.size());
                ObjectNode result = JSON.createObjectNode();
                result.put("patient", bundle.get("patient").asText());
                result.put("seq", bundle.get("seq").asLong());
                result.put("sent_ns", bundle.get("sent_ns").asLong());
                int news2 = 0;
                for (int i = 0; i < signs.size(); i++) {
                    double value = bundle.get(signs.get(i)).asDouble();
                    news2 += points.get(i)[band(cuts.get(i), value)];
                    double mean = value;
                    if (old != null) {
                        double before = old.getDouble(8 * i);
                        mean = before + alpha * (value - before);
                    }
                    moved.putDouble(mean);
                    result.put(signs.get(i), mean);
                }
                result.put("news2", news2);
                means.put(record.key(), moved.array());
                context.forward(record.withValue(JSON.writeValueAsBytes(result)));
            } catch (java.io.IOException broken) {
                throw new java.io.UncheckedIOException(broken);
            }
        }

        private static int band(double[] cuts, double value) {
            int found = Arrays.binarySearch(cuts, value);
            return found >= 0 ? found + 1 : -found - 1;
        }
    }
}
